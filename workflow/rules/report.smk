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
        csv="results/table1.csv",
        md="results/table1.md",
        html=report("results/table1.html", "../report/table1.rst", category="Tables", labels={"table": "Table 1"}),
        json="results/table1.json",
    log:
        "logs/table1.log",
    benchmark:
        "logs/table1.tsv"
    conda:
        "../../environment.yml"
    resources:
        cpu_percent=machine.percent(1),
    params:
        entries=needs("datasets", "methods", "seeds"),
    shell:
        "PYTHONPATH=src python -m memgan.report.table1 "
        "--published {input.published} --out {output.csv} --wide {output.md} --page {output.html} "
        "--summary {output.json} "
        "--log {log} {input.real} {input.metrics}"


rule sanity:
    input:
        real=expand("results/{dataset}/real.json", dataset=config["datasets"]),
        metrics=expand(
            "results/{dataset}/{run}/{seed}/metrics.json",
            dataset=config["datasets"],
            run=["ours", "untrained"],
            seed=config["seeds"],
        ),
        code=code("memgan.report.sanity"),
    output:
        csv="results/sanity.csv",
        md="results/sanity.md",
        html=report("results/sanity.html", "../report/sanity.rst", category="Tables", labels={"table": "Sanity"}),
    log:
        "logs/sanity.log",
    benchmark:
        "logs/sanity.tsv"
    conda:
        "../../environment.yml"
    resources:
        cpu_percent=machine.percent(1),
    params:
        entries=needs("datasets", "seeds"),
    shell:
        "PYTHONPATH=src python -m memgan.report.sanity "
        "--out {output.csv} --wide {output.md} --page {output.html} "
        "--log {log} {input.real} {input.metrics}"


rule ablations:
    input:
        real=f"results/{config['ablations']['dataset']}/real.json",
        metrics=expand(
            "results/{dataset}/{run}/{seed}/metrics.json",
            dataset=config["ablations"]["dataset"],
            run=[run for run in config["runs"] if run not in config["ablations"].get("leave_out", [])],
            seed=config["ablations"]["seeds"],
        ),
        code=code("memgan.report.ablations"),
    output:
        csv="results/ablations.csv",
        md="results/ablations.md",
        html=report("results/ablations.html", "../report/ablations.rst", category="Tables", labels={"table": "Ablations"}),
        figures=report(
            directory("results/ablations"),
            patterns=["{name}.png"],
            caption="../report/ablations_figure.rst",
            category="Figures",
            labels={"data set": config["ablations"]["dataset"], "run": "all", "seed": "all", "figure": "{name}"},
        ),
    log:
        "logs/ablations.log",
    benchmark:
        "logs/ablations.tsv"
    conda:
        "../../environment.yml"
    resources:
        cpu_percent=machine.percent(1),
    params:
        entries=needs("ablations", "runs"),
    shell:
        "PYTHONPATH=src python -m memgan.report.ablations "
        "--out {output.csv} --wide {output.md} --page {output.html} --pictures {output.figures} "
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
            labels={"data set": "{dataset}", "run": "{run}", "seed": "{seed}", "figure": "{name}"},
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
            labels={"data set": "{dataset}", "run": "", "seed": "", "figure": "{name}"},
        ),
    log:
        "logs/examples/{dataset}.log",
    benchmark:
        "logs/examples/{dataset}.tsv"
    conda:
        "../../environment.yml"
    resources:
        cpu_percent=machine.percent(1),
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
        times=expand("results/{dataset}/retrieval_times.json", dataset=config["datasets"]),
        figures=expand("results/{dataset}/retrieval", dataset=config["datasets"]),
        code=code("memgan.report.retrieval"),
    output:
        csv=report("results/retrieval.csv", "../report/retrieval_table.rst", category="Tables", labels={"table": "Retrieval"}),
        md="results/retrieval.md",
    log:
        "logs/retrieval_table.log",
    benchmark:
        "logs/retrieval_table.tsv"
    conda:
        "../../environment.yml"
    resources:
        cpu_percent=machine.percent(1),
    params:
        entries=needs("datasets"),
    shell:
        "PYTHONPATH=src python -m memgan.report.retrieval "
        "--out {output.csv} --wide {output.md} "
        "--log {log} {input.scores} {input.times} {input.figures}"


rule all:
    input:
        rules.table1.output,
        expand(
            "results/{dataset}/ours/{seed}/figures",
            dataset=config["datasets"],
            seed=config["seeds"],
        ),
