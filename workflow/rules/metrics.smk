"""Scores: of the real images, once a data set, and of the samples of each run and seed."""


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


rule metrics:
    input:
        images="results/{dataset}/images",
        vocabulary="results/{dataset}/vocabulary.json",
        damsm="results/{dataset}/damsm.safetensors",
        evaluator="results/{dataset}/evaluator.safetensors",
        reference="results/{dataset}/reference.safetensors",
        samples=expand("results/{{dataset}}/{{run}}/{{seed}}/samples/{shard}.tar", shard=SHARDS),
        records=expand("results/{{dataset}}/{{run}}/{{seed}}/samples/{shard}.json", shard=SHARDS),
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
        "--out {output.metrics} {input.samples} "
        "--log {log}"
