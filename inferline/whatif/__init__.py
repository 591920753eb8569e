"""The notebook face: load a pipeline, plan it, simulate it, and ask what if.

Nothing here changes a value: every question gives a new `Study`. Tables are pandas DataFrames; pictures need
matplotlib (``pip install 'inferline[notebook]'``).
"""

from inferline.pictures import Picture
from inferline.whatif.simulation import Simulation
from inferline.whatif.study import Study, load, plot_compare
from inferline.whatif.study_plan import StudyPlan

__all__ = ["Picture", "Simulation", "Study", "StudyPlan", "load", "plot_compare"]
