"""Feature blocks: new columns from an era, or from a run of eras.

`contract` says what a block is, `registry` lists them. `per_era` blocks are computed once per era, `learned` blocks are
fitted per vintage, `cleaning` fills missing values, `prices` works on your own price panel. `trajectories`, `groups` and
`fitting` hold what blocks are made of. May import `trees`, `nn`, `evaluation`, `panel`, `eras`, `errors`. Arrays in,
arrays out: no stores, networks, clocks or Dagster.
"""
