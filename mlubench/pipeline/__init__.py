"""The steps of an evaluation, a module each; ``tasks/`` has one Prefect task for each step.

parameters  what was asked for, checked
flags       how a network is compiled, by gen_model's names
network     which network, its files, and the import to ONNX
images      which images are scored and which calibrate, and their decoding
compile     a network compiled in one precision
shards      the cut of the images, exact
devices     a device, and its worker while it lives
device_list what devices there are (mlubench devices)
dispatch    shards to device workers, with retries
offline     a compiled network in a folder of its own (mlubench compile)
classify    such a network over a folder of images (mlubench infer)
outcome     merging, judging, and the run folder
thumbnails  pictures of flipped images, for the page
explain     which images, classes and layers changed (mlubench explain)
fallback    which layers to keep in float (mlubench explain --budget)
page        report.html of a run folder (mlubench report); evaluation_page has that of an evaluation
gates       a finished run judged by another one (mlubench compare)
baselines   which one: pinned, last good, published (mlubench baseline)
runs        the folders of finished runs
suite       what a nightly runs: a suite's runs with their options and gates
nightly     how a nightly's runs ended, judged together (mlubench nightly)
"""
