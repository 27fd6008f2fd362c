"""Text and image encoders, the evaluator that scores, and the network that gives v."""


rule vocabulary:
    input:
        images="results/{dataset}/images",
        code=code("memgan.encoders.vocabulary"),
    output:
        vocabulary="results/{dataset}/vocabulary.json",
    log:
        "logs/vocabulary/{dataset}.log",
    benchmark:
        "logs/vocabulary/{dataset}.tsv"
    priority: 3
    conda:
        "../../environment.yml"
    resources:
        cpu_percent=machine.percent(1),
    params:
        entries=needs(*blocks("damsm")),
    shell:
        "PYTHONPATH=src python -m memgan.encoders.vocabulary "
        "--dataset {wildcards.dataset} "
        "--images {input.images} --out {output.vocabulary} "
        "--log {log}"


rule damsm:
    input:
        images="results/{dataset}/images",
        vocabulary="results/{dataset}/vocabulary.json",
        code=code("memgan.encoders.damsm"),
    output:
        damsm="results/{dataset}/damsm.safetensors",
    log:
        "logs/damsm/{dataset}.log",
    benchmark:
        "logs/damsm/{dataset}.tsv"
    priority: 3  # the longest way to a table begins here
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        cpu_percent=SHARE,
        gpu=GPU,
    params:
        entries=needs("seed", "threads", *blocks("images", "damsm")),
    shell:
        "PYTHONPATH=src python -m memgan.encoders.damsm "
        "--dataset {wildcards.dataset} "
        "--images {input.images} --vocabulary {input.vocabulary} --out {output.damsm} "
        "--log {log}"


rule evaluator:
    input:
        images="results/{dataset}/images",
        vocabulary="results/{dataset}/vocabulary.json",
        code=code("memgan.encoders.evaluator"),
    output:
        evaluator="results/{dataset}/evaluator.safetensors",
    log:
        "logs/evaluator/{dataset}.log",
    benchmark:
        "logs/evaluator/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        cpu_percent=SHARE,
        gpu=GPU,
    params:
        entries=needs("seed", "threads", "data.{dataset}.source", *blocks("images", "evaluator")),
    shell:
        "PYTHONPATH=src python -m memgan.encoders.evaluator "
        "--dataset {wildcards.dataset} "
        "--images {input.images} --vocabulary {input.vocabulary} --out {output.evaluator} "
        "--log {log}"


rule vgg:
    input:
        images="results/{dataset}/images",
        vocabulary="results/{dataset}/vocabulary.json",
        code=code("memgan.encoders.vgg"),
    output:
        vgg="results/{dataset}/vgg.safetensors",
    log:
        "logs/vgg/{dataset}.log",
    benchmark:
        "logs/vgg/{dataset}.tsv"
    priority: 2
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        cpu_percent=SHARE,
        gpu=GPU,
    params:
        entries=needs("seed", "threads", *blocks("images", "features")),
    shell:
        "PYTHONPATH=src python -m memgan.encoders.vgg "
        "--dataset {wildcards.dataset} "
        "--images {input.images} --vocabulary {input.vocabulary} --out {output.vgg} "
        "--log {log}"
