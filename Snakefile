# The pipeline stands in workflow/; `snakemake` alone makes Table 1.
include: "workflow/Snakefile"


rule default:
    input:
        rules.table1.output,
