"""Scores: of the real images, once a data set, of the samples of each run and seed, and of other systems' samples."""


rule reference:
    input:
        images="results/{dataset}/images",
        vocabulary="results/{dataset}/vocabulary.json",
        damsm="results/{dataset}/damsm.safetensors",
        evaluator="results/{dataset}/evaluator.safetensors",
        code=code("memgan.metrics.reference"),
    output:
        reference="results/{dataset}/reference.safetensors",
        real=report("results/{dataset}/real.json", "../report/real.rst", category="Scores"),
    log:
        "logs/reference/{dataset}.log",
    benchmark:
        "logs/reference/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        cpu_percent=SHARE,
        gpu=GPU,
    params:
        entries=needs("seed", "threads", "data.{dataset}.source", *blocks("images", "damsm", "metrics")),
    shell:
        "PYTHONPATH=src python -m memgan.metrics.reference "
        "--dataset {wildcards.dataset} "
        "--images {input.images} --vocabulary {input.vocabulary} --damsm {input.damsm} "
        "--evaluator {input.evaluator} --out {output.reference} --real {output.real} "
        "--log {log}"


rule extra_samples:
    input:
        images="results/{dataset}/images",
        vocabulary="results/{dataset}/vocabulary.json",
        damsm="results/{dataset}/damsm.safetensors",
        vgg="results/{dataset}/vgg.safetensors",
        features="results/{dataset}/features",
        bank="results/{dataset}/bank",
        generator="results/{dataset}/{run}/{seed}/generator.safetensors",
        code=code("memgan.metrics.extra_samples"),
    output:
        varied="results/{dataset}/{run}/{seed}/samples/variations.tar",
        varied_record="results/{dataset}/{run}/{seed}/samples/variations.json",
        named="results/{dataset}/{run}/{seed}/samples/soa.tar",
        named_record="results/{dataset}/{run}/{seed}/samples/soa.json",
    log:
        "logs/extra_samples/{dataset}-{run}-{seed}.log",
    benchmark:
        "logs/extra_samples/{dataset}-{run}-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        cpu_percent=SHARE,
        gpu=GPU,
    params:
        entries=needs(
            "seed",
            "threads",
            "runs.{run}",
            "data.{dataset}.source",
            *blocks("images", "features", "damsm", "memory", "gan", "sampling"),
        ),
    shell:
        "PYTHONPATH=src python -m memgan.metrics.extra_samples "
        "--dataset {wildcards.dataset} --run {wildcards.run} --seed {wildcards.seed} "
        "--images {input.images} --vocabulary {input.vocabulary} --damsm {input.damsm} --vgg {input.vgg} "
        "--features {input.features} --bank {input.bank} --generator {input.generator} "
        "--varied {output.varied} --varied-record {output.varied_record} "
        "--named {output.named} --named-record {output.named_record} "
        "--log {log}"


rule metrics:
    input:
        images="results/{dataset}/images",
        vocabulary="results/{dataset}/vocabulary.json",
        damsm="results/{dataset}/damsm.safetensors",
        evaluator="results/{dataset}/evaluator.safetensors",
        reference="results/{dataset}/reference.safetensors",
        samples=expand("results/{{dataset}}/{{run}}/{{seed}}/samples/{shard}.tar", shard=SHARDS),
        records=expand("results/{{dataset}}/{{run}}/{{seed}}/samples/{shard}.json", shard=SHARDS),
        variations="results/{dataset}/{run}/{seed}/samples/variations.tar",
        varied="results/{dataset}/{run}/{seed}/samples/variations.json",
        soa="results/{dataset}/{run}/{seed}/samples/soa.tar",
        named="results/{dataset}/{run}/{seed}/samples/soa.json",
        code=code("memgan.metrics.measure"),
    output:
        metrics=report("results/{dataset}/{run}/{seed}/metrics.json", "../report/metrics.rst", category="Scores"),
    log:
        "logs/metrics/{dataset}-{run}-{seed}.log",
    benchmark:
        "logs/metrics/{dataset}-{run}-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        cpu_percent=SHARE,
        gpu=GPU,
    params:
        entries=needs("seed", "threads", "data.{dataset}.source", *blocks("images", "damsm", "metrics")),
    shell:
        "PYTHONPATH=src python -m memgan.metrics.measure "
        "--dataset {wildcards.dataset} --run {wildcards.run} --seed {wildcards.seed} "
        "--images {input.images} --vocabulary {input.vocabulary} --damsm {input.damsm} "
        "--evaluator {input.evaluator} --reference {input.reference} "
        "--variations {input.variations} --soa {input.soa} "
        "--out {output.metrics} {input.samples} "
        "--log {log}"


rule retrieval:
    input:
        images="results/{dataset}/images",
        vocabulary="results/{dataset}/vocabulary.json",
        damsm="results/{dataset}/damsm.safetensors",
        bank="results/{dataset}/bank",
        code=code("memgan.metrics.retrieval"),
    output:
        scores=report("results/{dataset}/retrieval.json", "../report/retrieval.rst", category="Scores"),
        times="results/{dataset}/retrieval_times.json",
    log:
        "logs/retrieval/{dataset}.log",
    benchmark:
        "logs/retrieval/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        cpu_percent=SHARE,
        gpu=GPU,
    params:
        entries=needs("seed", "threads", "data.{dataset}.source", *blocks("images", "damsm", "memory")),
    shell:
        "PYTHONPATH=src python -m memgan.metrics.retrieval "
        "--dataset {wildcards.dataset} "
        "--images {input.images} --vocabulary {input.vocabulary} --damsm {input.damsm} "
        "--bank {input.bank} --out {output.scores} --times {output.times} "
        "--log {log}"


# A rule each, since a method's files are entries of params.yaml. Shell lines are read when the jobs run: none may use the loop's names.
for METHOD, ENTRY in methods(config).items():

    rule:
        name:
            f"external_{METHOD}"
        input:
            samples=ENTRY["images"],
            captions=ENTRY["captions"],
            images=f"results/{ENTRY['dataset']}/images",
            vocabulary=f"results/{ENTRY['dataset']}/vocabulary.json",
            damsm=f"results/{ENTRY['dataset']}/damsm.safetensors",
            evaluator=f"results/{ENTRY['dataset']}/evaluator.safetensors",
            reference=f"results/{ENTRY['dataset']}/reference.safetensors",
            code=code("memgan.methods.external"),
        output:
            metrics=report(f"results/{ENTRY['dataset']}/methods/{METHOD}.json", "../report/external.rst", category="Scores"),
        log:
            f"logs/external/{METHOD}.log",
        benchmark:
            f"logs/external/{METHOD}.tsv"
        conda:
            "../../environment.yml"
        threads: THREADS
        resources:
            cpu_percent=SHARE,
            gpu=GPU,
        params:
            entries=needs(
                "seed",
                "threads",
                f"methods.{METHOD}",
                f"data.{ENTRY['dataset']}.source",
                *blocks("images", "damsm", "sampling", "metrics", dataset=ENTRY["dataset"]),
            ),
        shell:
            "PYTHONPATH=src python -m memgan.methods.external "
            "--method $(basename {output.metrics} .json) "
            "--samples '{input.samples}' --captions '{input.captions}' "
            "--images {input.images} --vocabulary {input.vocabulary} --damsm {input.damsm} "
            "--evaluator {input.evaluator} --reference {input.reference} --out {output.metrics} "
            "--log {log}"
