"""The generator of each run and seed, and its samples in shards."""


rule train:
    input:
        images="results/{dataset}/images",
        vocabulary="results/{dataset}/vocabulary.json",
        damsm="results/{dataset}/damsm.safetensors",
        vgg="results/{dataset}/vgg.safetensors",
        features="results/{dataset}/features",
        bank="results/{dataset}/bank",
        code=code("memgan.gan.train"),
    output:
        generator="results/{dataset}/{run}/{seed}/generator.safetensors",
        curves="results/{dataset}/{run}/{seed}/curves.csv",
    log:
        "logs/train/{dataset}-{run}-{seed}.log",
    benchmark:
        "logs/train/{dataset}-{run}-{seed}.tsv"
    wildcard_constraints:
        run=one_of(set(config["runs"]) - set(sharing(config))),
    priority: 1  # after what a training needs, of the same data set and of others
    conda:
        "../../environment.yml"
    threads: lambda wildcards: THREADS * processes(wildcards)
    resources:
        cpu_percent=lambda wildcards: machine.percent(THREADS * processes(wildcards)),
        gpu=lambda wildcards: machine.gpu(processes(wildcards)),
    params:
        entries=needs("threads", "pooling", "runs.{run}", *blocks("images", "features", "damsm", "gan", "train", "memory")),
    shell:
        "PYTHONPATH=src python -m memgan.gan.train "
        "--dataset {wildcards.dataset} --run {wildcards.run} --seed {wildcards.seed} "
        "--images {input.images} --vocabulary {input.vocabulary} --damsm {input.damsm} --vgg {input.vgg} "
        "--features {input.features} --bank {input.bank} "
        "--out {output.generator} --curves {output.curves} "
        "--log {log}"


rule share:
    input:
        generator="results/{dataset}/ours/{seed}/generator.safetensors",
        curves="results/{dataset}/ours/{seed}/curves.csv",
        code=code("memgan.gan.share"),
    output:
        generator="results/{dataset}/{run}/{seed}/generator.safetensors",
        curves="results/{dataset}/{run}/{seed}/curves.csv",
    log:
        "logs/share/{dataset}-{run}-{seed}.log",
    benchmark:
        "logs/share/{dataset}-{run}-{seed}.tsv"
    wildcard_constraints:
        run=one_of(sharing(config)),
    conda:
        "../../environment.yml"
    resources:
        cpu_percent=machine.percent(1),
    params:
        entries=needs("pooling", "runs.{run}", *blocks("gan", "train")),
    shell:
        "PYTHONPATH=src python -m memgan.gan.share "
        "--dataset {wildcards.dataset} --run {wildcards.run} "
        "--trained {input.generator} --trained-curves {input.curves} "
        "--out {output.generator} --curves {output.curves} "
        "--log {log}"


rule sample:
    input:
        images="results/{dataset}/images",
        vocabulary="results/{dataset}/vocabulary.json",
        damsm="results/{dataset}/damsm.safetensors",
        vgg="results/{dataset}/vgg.safetensors",
        features="results/{dataset}/features",
        bank="results/{dataset}/bank",
        generator="results/{dataset}/{run}/{seed}/generator.safetensors",
        code=code("memgan.gan.sample"),
    output:
        images="results/{dataset}/{run}/{seed}/samples/{shard}.tar",
        record="results/{dataset}/{run}/{seed}/samples/{shard}.json",
    log:
        "logs/sample/{dataset}-{run}-{seed}-{shard}.log",
    benchmark:
        "logs/sample/{dataset}-{run}-{seed}-{shard}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        cpu_percent=SHARE,
        gpu=GPU,
    params:
        entries=needs("threads", "shards", "runs.{run}", *blocks("images", "features", "damsm", "memory", "gan", "sampling")),
    shell:
        "PYTHONPATH=src python -m memgan.gan.sample "
        "--dataset {wildcards.dataset} --run {wildcards.run} --seed {wildcards.seed} "
        "--shard {wildcards.shard} "
        "--images {input.images} --vocabulary {input.vocabulary} --damsm {input.damsm} --vgg {input.vgg} "
        "--features {input.features} --bank {input.bank} --generator {input.generator} "
        "--out {output.images} --record {output.record} "
        "--log {log}"
