"""The memory: v of every training image, and the keys by which a caption finds it."""


rule features:
    input:
        images="results/{dataset}/images",
        vgg="results/{dataset}/vgg.safetensors",
        code=code("memgan.memory.features"),
    output:
        features=directory("results/{dataset}/features"),
    log:
        "logs/features/{dataset}.log",
    benchmark:
        "logs/features/{dataset}.tsv"
    priority: 2
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        cpu_percent=SHARE,
        gpu=GPU,
    params:
        entries=needs("threads", *blocks("images", "features")),
    shell:
        "PYTHONPATH=src python -m memgan.memory.features "
        "--dataset {wildcards.dataset} "
        "--images {input.images} --vgg {input.vgg} --out {output.features} "
        "--log {log}"


rule bank:
    input:
        images="results/{dataset}/images",
        vocabulary="results/{dataset}/vocabulary.json",
        damsm="results/{dataset}/damsm.safetensors",
        features="results/{dataset}/features",
        code=code("memgan.memory.bank"),
    output:
        bank=directory("results/{dataset}/bank"),
    log:
        "logs/bank/{dataset}.log",
    benchmark:
        "logs/bank/{dataset}.tsv"
    priority: 2
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        cpu_percent=SHARE,
        gpu=GPU,
    params:
        entries=needs("threads", *blocks("images", "damsm")),
    shell:
        "PYTHONPATH=src python -m memgan.memory.bank "
        "--dataset {wildcards.dataset} "
        "--images {input.images} --vocabulary {input.vocabulary} --damsm {input.damsm} "
        "--features {input.features} --out {output.bank} "
        "--log {log}"
