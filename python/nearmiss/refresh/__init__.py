# SPDX-License-Identifier: Apache-2.0
"""Re-mining while a model trains: when, how hard, and from which sources. numpy only.

`nearmiss.loaders.Refresher` does it; here is what it is given, and what ``mine`` functions use.

============================================  ======================================================
`EverySteps`, `EveryEpochs`                   when the next table is due
`Curriculum` of `Linear`, `Stages`            a strategy whose parameters follow the training step
`teleport`, `epoch_window`                    ANCE-Tele: look-ahead and momentum negatives, and
                                              draws of which consecutive epochs share none
`Refresh`                                     what a ``mine`` function is told
`RefreshLog`                                  what was mined and swapped when
============================================  ======================================================
"""

from nearmiss.refresh.curricula import Curriculum, Linear, Stages
from nearmiss.refresh.due import EveryEpochs, EverySteps, Schedule
from nearmiss.refresh.job import Refresh
from nearmiss.refresh.log import RefreshLog
from nearmiss.refresh.teleportation import epoch_window, teleport

__all__ = [
    "Curriculum",
    "EveryEpochs",
    "EverySteps",
    "Linear",
    "Refresh",
    "RefreshLog",
    "Schedule",
    "Stages",
    "epoch_window",
    "teleport",
]
