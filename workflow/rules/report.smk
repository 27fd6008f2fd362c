"""Tables and figures, made from what the other rules measured and sampled."""


rule table1:
    input:
        published="workflow/data/published_table1.csv",
        real=expand("results/{dataset}/real.json", dataset=config["datasets"]),
        metrics=expand(
            "results/{dataset}/ours/{seed}/metrics.json",
            dataset=config["datasets"],
            seed=config["seeds"],
        )
        + [f"results/{entry['dataset']}/methods/{method}.json" for method, entry in methods(config).items()],
        code=code("memgan.report.table1"),
    output:
        csv=report("results/table1.csv", "../report/table1.rst", category="Tables"),
        md="results/table1.md",
    log:
        "logs/table1.log",
    benchmark:
        "logs/table1.tsv"
    conda:
        "../../environment.yml"
    params:
        entries=needs("datasets", "methods", "seeds"),
    shell:
        "PYTHONPATH=src python -m memgan.report.table1 "
        "--published {input.published} --out {output.csv} --wide {output.md} "
        "--log {log} {input.real} {input.metrics}"


rule figures:
    input:
        images="results/{dataset}/images",
        curves="results/{dataset}/{run}/{seed}/curves.csv",
        samples=expand("results/{{dataset}}/{{run}}/{{seed}}/samples/{shard}.tar", shard=SHARDS),
        records=expand("results/{{dataset}}/{{run}}/{{seed}}/samples/{shard}.json", shard=SHARDS),
        variations="results/{dataset}/{run}/{seed}/samples/variations.tar",
        varied="results/{dataset}/{run}/{seed}/samples/variations.json",
        metrics="results/{dataset}/{run}/{seed}/metrics.json",
        code=code("memgan.report.figures"),
    output:
        figures=report(
            directory("results/{dataset}/{run}/{seed}/figures"),
            patterns=["{name}.png"],
            caption="../report/figures.rst",
            category="Figures",
        ),
    log:
        "logs/figures/{dataset}-{run}-{seed}.log",
    benchmark:
        "logs/figures/{dataset}-{run}-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        cpu_percent=SHARE,
    shell:
        "PYTHONPATH=src python -m memgan.report.figures "
        "--images {input.images} --curves {input.curves} --metrics {input.metrics} --variations {input.variations} "
        "--out {output.figures} "
        "--log {log} {input.samples}"


rule examples:
    input:
        images="results/{dataset}/images",
        scores="results/{dataset}/retrieval.json",
        code=code("memgan.report.examples"),
    output:
        figure=report(
            directory("results/{dataset}/retrieval"),
            patterns=["{name}.png"],
            caption="../report/examples.rst",
            category="Figures",
        ),
    log:
        "logs/examples/{dataset}.log",
    benchmark:
        "logs/examples/{dataset}.tsv"
    conda:
        "../../environment.yml"
    params:
        entries=needs(*blocks("images")),
    shell:
        "PYTHONPATH=src python -m memgan.report.examples "
        "--dataset {wildcards.dataset} "
        "--images {input.images} --scores {input.scores} --out {output.figure} "
        "--log {log}"


rule retrieval_table:
    input:
        scores=expand("results/{dataset}/retrieval.json", dataset=config["datasets"]),
        figures=expand("results/{dataset}/retrieval", dataset=config["datasets"]),
        code=code("memgan.report.retrieval"),
    output:
        csv=report("results/retrieval.csv", "../report/retrieval_table.rst", category="Tables"),
        md="results/retrieval.md",
    log:
        "logs/retrieval_table.log",
    benchmark:
        "logs/retrieval_table.tsv"
    conda:
        "../../environment.yml"
    params:
        entries=needs("datasets"),
    shell:
        "PYTHONPATH=src python -m memgan.report.retrieval "
        "--out {output.csv} --wide {output.md} "
        "--log {log} {input.scores} {input.figures}"


rule all:
    input:
        rules.table1.output,
        expand(
            "results/{dataset}/ours/{seed}/figures",
            dataset=config["datasets"],
            seed=config["seeds"],
        ),
