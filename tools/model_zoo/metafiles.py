"""The metafiles: an entry for each config, with its published results and its official checkpoint.

They have the format of OpenMMLab, which ``mim`` reads, and these fields in addition. An entry inherits the fields of
its collection.

- ``Metadata: Note``: what distinguishes the config from the others.
- ``Source``: the page with the results, or a list of pages.
- ``Weights Page``: the page of the official checkpoint, if ``Weights`` cannot be downloaded without a browser.
- ``Convert``, ``Test``: commands, with ``{config}``, ``{name}`` and ``{hub}``. They write and read ``{name}.pth``.
- ``No Weights``, ``No Results``: why there is no official checkpoint, or no number for it.
"""

from collections import ChainMap
from pathlib import Path

import yaml

INDEX = Path('model-index.yml')
HUB = 'https://huggingface.co/'
MINIATURE = 'tiny-sd'


def read(file: Path) -> dict:
    """Read a file of YAML without interpreting numbers, so that 1.000 keeps its digits."""
    return yaml.load(file.read_text(encoding='utf-8'), yaml.BaseLoader)


class Model(ChainMap):
    """A config in a metafile. It maps names of fields to values."""

    @property
    def name(self) -> str:
        """Name of the config, without a suffix."""
        return self['Name']

    @property
    def address(self) -> str | None:
        """Address of the official checkpoint."""
        return self.get('Weights') or self.get('Weights Page')

    @property
    def sources(self) -> list[str]:
        """Addresses of the pages with the results."""
        source = self.get('Source', [])
        return [source] if isinstance(source, str) else source

    @property
    def results(self) -> dict[str, dict[str, str]]:
        """The metrics by data set."""
        return {result['Dataset']: result['Metrics'] for result in self.get('Results', [])}

    def metric(self, name: str, dataset: str | None = None) -> str:
        """Return a number as it was published, by default for the only data set, or an empty string."""
        found = [self.results.get(dataset, {})] if dataset else list(self.results.values())
        return found[0].get(name, '') if found else ''

    def metadata(self, field: str) -> str:
        """Return a field of the metadata as text, or an empty string."""
        value = self['Metadata'].get(field, '')
        return value if isinstance(value, str) else ', '.join(value)

    def commands(self) -> list[str]:
        """Return the commands that convert and test the official checkpoint."""
        values = dict(config=self['Config'], name=self.name, hub=(self.address or '').removeprefix(HUB))
        return [command.format(**values) for field in ('Convert', 'Test') for command in self.get(field, [])]


def read_models() -> dict[str, Model]:
    """Return the entries of all metafiles by their names."""
    models = {}
    for file in read(INDEX)['Import']:
        content = read(Path(file))
        collections = {collection['Name']: collection for collection in content['Collections']}
        models |= {entry['Name']: Model(entry, collections[entry['In Collection']]) for entry in content['Models']}
    return models
