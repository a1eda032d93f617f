"""Accuracy and speed of Caffe image classifiers, per precision, on MLU cards and CPUs."""

__version__ = "0.1.0"
