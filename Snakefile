# The pipeline stands in workflow/; `snakemake` alone makes Table 1, `snakemake --report report.html` shows all there is.
include: "workflow/Snakefile"


rule default:
    input:
        [rules.all.input, *made(rules.sanity, rules.ablations, rules.retrieval_table)] if REPORTING else rules.table1.output,
