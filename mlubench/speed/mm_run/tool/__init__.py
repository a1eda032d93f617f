"""mm_run, MagicMind's tool that measures throughput: its options, its output, the tool itself.

Everything here is of mm_run's own forms; what measures is elsewhere. The facts are those of the
vendor's README of the tool (samples/mm_run) and of the logs in Cambricon/magicmind_cloud.
"""
