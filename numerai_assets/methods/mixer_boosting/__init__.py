"""TSMixer-inspired boosting ensemble: `estimator` is the method; the other modules are blocks and layers that only it uses.

`feature_mixing`, `trajectory_mixer` and `payoff_panel` are learned feature blocks, registered by name in
`features.registry`. Must not import another method.
"""
