"""The embedded worlds: data sets rendered by code, in the raw layouts of CUB and COCO (SPEC 10).

Both modules offer the same names: ATTRIBUTES (attribute -> possible values), `draw`, `random_attributes`, `captions`,
`read_caption` and `write`. `memgan.data.worlds.known` has them by name, `readers` what they have of captions.
"""
