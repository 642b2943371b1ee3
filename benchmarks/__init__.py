"""Programs that measure arctone and write the numbers into its pages.

Run them from the repository root with `python -m benchmarks.NAME`; each writes `benchmarks/results/NAME.json`, and
`report` puts the tables made from these files between the `generated` markers of README.md and docs/.

autoencoder_table   the autoencoder against Opus at two rates
train_probe         fits the instrument family classifier to real sounds of the training split
adherence           does the sound match the prompt? real, decoded and generated sounds under the same probe
train_corpus_clap          fits the joint space of captions and sounds, and reports its retrieval
generation_table    models and samplers side by side: distances, adherence, diversity, cost
latency             from process start to file
report              writes or checks the generated blocks
clips, degrade, engines, machine, measured_run, opus, results, stored_answers      what these programs share
"""
