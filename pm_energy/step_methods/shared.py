"""What step methods of any kind share: columns of the progress bar, and a watch over the data."""

from typing import ClassVar

from pytensor.compile.sharedvalue import SharedVariable


class ProgressColumns:
    """Mixin of step methods that show some of their statistics in PyMC's progress bar.

    A subclass lists them in ``_columns``: the title and the format of each, by its name.
    """

    _columns: ClassVar[dict[str, tuple[str, str]]] = {}

    @classmethod
    def _progressbar_config(cls, n_chains=1):
        from rich.progress import TextColumn
        from rich.table import Column

        columns = [
            TextColumn(f"{{task.fields[{name}]:{form}}}", table_column=Column(title, ratio=1))
            for name, (title, form) in cls._columns.items()
        ]
        return columns, {name: [0] * n_chains for name in cls._columns}

    @classmethod
    def _make_progressbar_update_functions(cls):
        def update(stats):
            return {name: stats[name] for name in cls._columns}

        return (update,)


class WatchedData:
    """The data of a model as they were when something was proved about it or computed from it.

    Parameters
    ----------
    model : pymc.Model
    """

    def __init__(self, model):
        self._seen = [
            (v, v.get_value(borrow=True)) for v in model.data_vars if isinstance(v, SharedVariable)
        ]

    def check(self, name, remedy):
        """Raise a ValueError if any were set anew since."""
        changed = [v.name for v, value in self._seen if v.get_value(borrow=True) is not value]
        if changed:
            raise ValueError(f"the data {changed} were set anew after {name} was built; {remedy}")
