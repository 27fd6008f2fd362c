"""Raw data, and the shards that everything else reads."""


rule render:
    input:
        code=code("memgan.data.render"),
    output:
        archives=directory("data/{dataset}/archives"),
        sources="data/{dataset}/sources.json",
    log:
        "logs/render/{dataset}.log",
    benchmark:
        "logs/render/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(rendered(config)),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        cpu_percent=SHARE,
    params:
        entries=needs("seed", "data.{dataset}.source"),
    shell:
        "PYTHONPATH=src python -m memgan.data.render "
        "--dataset {wildcards.dataset} "
        "--archives {output.archives} --sources {output.sources} "
        "--log {log}"


rule compose:
    input:
        code=code("memgan.data.compose"),
    output:
        archives=directory("data/{dataset}/archives"),
        sources="data/{dataset}/sources.json",
    log:
        "logs/compose/{dataset}.log",
    benchmark:
        "logs/compose/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(composed(config)),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        cpu_percent=SHARE,
    params:
        entries=needs("seed", "data.{dataset}.source"),
    shell:
        "PYTHONPATH=src python -m memgan.data.compose "
        "--dataset {wildcards.dataset} "
        "--archives {output.archives} --sources {output.sources} "
        "--log {log}"


rule download:
    input:
        code=code("memgan.data.download"),
    output:
        sources="data/{dataset}/sources.json",
    log:
        "logs/download/{dataset}.log",
    benchmark:
        "logs/download/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(set(config["data"]) - set(drawn(config))),
    conda:
        "../../environment.yml"
    resources:
        cpu_percent=0,  # it waits for the network and keeps no core busy
    params:
        entries=needs("data.{dataset}.source"),
    shell:
        "PYTHONPATH=src python -m memgan.data.download " "--dataset {wildcards.dataset} --out {output.sources} --log {log}"


rule preprocess:
    input:
        sources="data/{dataset}/sources.json",
        code=code("memgan.data.preprocess"),
    output:
        images=directory("results/{dataset}/images"),
    log:
        "logs/preprocess/{dataset}.log",
    benchmark:
        "logs/preprocess/{dataset}.tsv"
    priority: 3
    conda:
        "../../environment.yml"
    # What is drawn here takes seconds; a claim on the whole machine would keep it waiting for other data sets' long jobs.
    threads: lambda wildcards: THREADS if wildcards.dataset in drawn(config) else machine.cores()
    resources:
        cpu_percent=lambda wildcards: SHARE if wildcards.dataset in drawn(config) else machine.percent(machine.cores()),
    params:
        entries=needs("data.{dataset}.source", *blocks("images")),
    shell:
        "PYTHONPATH=src python -m memgan.data.preprocess "
        "--dataset {wildcards.dataset} "
        "--sources {input.sources} --out {output.images} "
        "--log {log}"
