"""Outputs of mm_run in both of its forms.

The layout and the headline figures are the documented ones: old, the logs of MagicMind 0.13 in
Cambricon/magicmind_cloud v1.0 (resnet50_onnx, force_float32, batch 1); new, the vendor's README of
samples/mm_run. What else stands in them is shortened and made up in the same columns.
"""

from __future__ import annotations

OLD = """\
==================== Parameter Information
magicmind model file: data/models/resnet50_onnx_model_force_float32_true_1
iterations: 1000
duration: 3000
warm_up: 200
thread_num: 1
devices: 0
batch: 1
[MMINFO]  CreateModel time is 2429 ms
=================== Device Information
Device ID:                    0
Compute Capability:           3.0
Cluster Number:               6
IPU Clock Rate:               1 (GHz)
Total Memory Size:            24576 (MB)
[MMINFO]  Constdata Size: 98.5 (MB)
[2022-6-1 12:00:00] [CNNL] [Warning]: [cnnlSetActivationDescriptor_v3] is deprecated.
[MMINFO]  dev_0_thread_0_warm_up time is 212 ms
==================== Model Information
Buffer Info: Input
Num: 1
[0]:
  Name: data
  Datatype: FLOAT
  Layout: NHWC
  Dim: [1, 224, 224, 3]
  Size: 602112
Buffer Info: Output
Num: 1
[0]:
  Name: dense0
  Datatype: FLOAT
  Layout: NONE
  Dim: [1, 1000]
  Size: 4000
==================== Device Utilization Summary
dev0_chip_util(%):            min: 8.75  max: 25    mean: 24    median: 25
dev0_power_info(W):           min: 38.75 max: 47.5  mean: 46.38 median: 46.25
==================== Performance Summary
Iterations:                   1000
Host Wall Time (s):           5.16875
MLU Compute Time (s):         5.15559
Throughput (qps):             193.47
Enqueue Time (ms):            min: 0.4481     max: 5.958      mean: 0.5108     median: 0.5291     \
percentile: (90%) 0.5395     (95%) 0.5454     (99%) 0.6365
H2D Latency (ms):             min: 0.07375    max: 0.0975     mean: 0.07883    median: 0.07875    \
percentile: (90%) 0.08125    (95%) 0.0825     (99%) 0.08375
MLU Compute Latency (ms):     min: 5.146      max: 5.173      mean: 5.1556     median: 5.155      \
percentile: (90%) 5.16       (95%) 5.161      (99%) 5.164
D2H Latency (ms):             min: 0.0175     max: 0.03       mean: 0.01849    median: 0.0175     \
percentile: (90%) 0.01875    (95%) 0.02625    (99%) 0.02625
Trace averages of 100 runs:
  MLU Compute Latency (ms): 5.157       Enqueue: 0.41
  MLU Compute Latency (ms): 5.156       Enqueue: 0.42
"""

#: As mm_run prints it, without its log.
NEW = """\
==================== Parameter Information
--magicmind_model<Str>        : model2
--input_dims<Vec<Vec<Int>>>   : 1,2,3,4 _ 5,6,7
--batch_size<Vec<Int>>        :
--devices<Vec<Int>>           : 0
--bind_cluster<Bool>          : false
--warmup<Int>                 : 200
MagicMind: 11534336
CNRT: 50801
CNAPI: 10803
PID: 12345
=================== Model Information
Size:     4096
Input num: 1
Input info [
input0            : [-1, -1, -1, -1], FLOAT
]
Output info [
output0           : [-1, -1, -1, -1], FLOAT
]
=================== Device Information
Device ID:                    0
Compute Capability:           3.0
Cluster Number:               8
MLU Core Clock Rate:          1 (GHz)
=================== Host Occupancy Summary
UserMode Occupancy(%):        min: 0.8278     max: 0.9527     mean: 0.8903     median: 0.8903     \
percentile: (90%) 0.9527     (95%) 0.9527     (99%) 0.9527
=================== Device 0 Utilization Summary
mem_util(MB):                 min: 1805       max: 1805       mean: 1805       median: 1805       \
percentile: (90%) 1805       (95%) 1805       (99%) 1805
=================== Device 0 PMU Summary
DRAM read(MB/s):              min: 563.6      max: 715.1      mean: 669.8      median: 666        \
percentile: (90%) 708.9      (95%) 710.7      (99%) 715.1
=================== Performance Summary
Total iterations:             14466
Host wall time(s):            3.00164
Total MLU compute time(host clock, s): 1.26222
Total MLU compute time(dev clock, s): 0.9125
Throughput (qps):             28916.2 with total batch sizes: 86796 and 4819.36 iterations/second
Input shape group 0: [main/arg:0: [1, 3, 64, 64], main/arg:1: [9, 3, 128, 128]]
  H2D Summary:
  Latency(host clock, ms):    min: 0.12       max: 1.053      mean: 0.36809    median: 0.326      \
percentile: (90%) 0.651      (95%) 0.716      (99%) 0.808
  Latency(dev clock, ms):     min: 0.15       max: 1.295      mean: 0.443      median: 0.39       \
percentile: (90%) 0.7888     (95%) 0.8712     (99%) 0.9813
  Interface Duration(ms):     min: 0.02       max: 0.13       mean: 0.03524    median: 0.03125    \
percentile: (90%) 0.04875    (95%) 0.05625    (99%) 0.08
  MLU Compute (Launch jobs) Summary:
  Latency(host clock, ms):    min: 0.07125    max: 0.2963     mean: 0.1057     median: 0.1        \
percentile: (90%) 0.1288     (95%) 0.1413     (99%) 0.175
  D2H Summary:
  Latency(host clock, ms):    min: 0.2025     max: 1.529      mean: 0.5157     median: 0.4888     \
percentile: (90%) 0.7937     (95%) 0.8675     (99%) 1.06
  Total Latency Summary(H2D + Compute + D2H):
  Latency(host clock, ms):    min: 0.465      max: 2.355      mean: 1.082      median: 1.057      \
percentile: (90%) 1.505      (95%) 1.636      (99%) 1.8
Input shape group 1: [main/arg:0: [3, 3, 256, 256], main/arg:1: []]
  H2D Summary:
  Latency(host clock, ms):    min: 0.2125     max: 1.232      mean: 0.4546     median: 0.4188     \
percentile: (90%) 0.7262     (95%) 0.8125     (99%) 0.9387
Trace average MLU Compute perf over 100 runs (50 per thread):
  Latency(host clock, ms): 0.0912      Latency(dev clock, ms): 0.0634      \
Interface Duration(ms): 0.0511
  Latency(host clock, ms): 0.0853      Latency(dev clock, ms): 0.0621      \
Interface Duration(ms): 0.0439
"""

#: What stands in its log between the devices and the summaries.
NEW_LOG = """\
2022-06-01 12:00:01.652209: INFO: samples/cc/common/timer.cc:34] DeserializeModel time is \
1234.56 ms.
2022-06-01 12:00:01.653212: INFO: samples/cc/common/timer.cc:34] CreateEngine 0 time is 0.375 ms.
2022-06-01 12:00:01.653227: INFO: samples/cc/mm_run/run.cc:206] Const data size: 0(MB)
2022-06-01 12:00:04.862290: INFO: samples/cc/mm_run/run.cc:55] Run dev_0_thread_0 finished with \
total duration: 3000.25, generating report...
========= Input Buffer Info =========
Buffers Info: InputBufferGroup0
Num: 1
[0]:
  Name: main/arg:0
  Dim: [1, 3, 64, 64]
"""


def with_log() -> str:
    """Return the new output as the tool prints it, its log included."""
    mark = "=================== Host Occupancy"
    return NEW.replace(mark, NEW_LOG + mark)
