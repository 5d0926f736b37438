"""What the metadata of the installed packages say, without importing any."""

import re
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

EXTRAS = ('', 'seg', 'pose', 'det', 'dmp')


@dataclass(frozen=True)
class Installed:
    """The installed distributions.

    Args:
        versions (dict[str, str]): Version of each distribution, by its normalised name.
        providers (dict[str, list[str]]): Normalised names of the distributions that provide a top-level module.
        requirements (dict[str, list[str]]): What each distribution declares that it needs.
    """

    versions: dict[str, str]
    providers: dict[str, list[str]]
    requirements: dict[str, list[str]]

    def provided(self, module: str) -> str:
        """Return names and versions of the distributions that provide a module, in one line."""
        return ', '.join(f'{name} {self.versions[name]}' for name in self.providers.get(module, []))

    def unmet(self, name: str) -> list[tuple[str, str]]:
        """Return the requirements of a distribution that the installed versions do not meet.

        What is not installed is not in the list, nor what is not written as the standard says. Without the package
        that compares versions, which comes with transformers, the list is empty.

        Args:
            name (str): The normalised name of the distribution.

        Returns:
            list[tuple[str, str]]: Requirement and what is installed, such as ``('torch>=2.6', 'torch 2.5.1')``.
        """
        if 'packaging' not in self.versions:
            return []
        found = {}
        for declared in self.requirements.get(name, []):
            with suppress(ValueError):  # the requirement or its marker is not valid
                found |= self._compare(declared)
        return list(found.items())

    def _compare(self, declared):
        from packaging.requirements import Requirement

        requirement = Requirement(declared)
        version = self.versions.get(normalised(requirement.name))
        applies = not requirement.marker or any(requirement.marker.evaluate({'extra': extra}) for extra in EXTRAS)
        if not version or not applies or requirement.specifier.contains(version, prereleases=True):
            return {}
        return {f'{requirement.name}{requirement.specifier}': f'{requirement.name} {version}'}


def find_installed() -> Installed:
    """Read the metadata of this Python's packages."""
    found = {normalised(name): each for each in metadata.distributions() if (name := each.metadata['Name'])}
    providers = {
        module: sorted({normalised(name) for name in names} & set(found))
        for module, names in metadata.packages_distributions().items()
    }
    return Installed(
        {name: each.version for name, each in found.items()},
        providers,
        {name: each.requires or [] for name, each in found.items()},
    )


def normalised(name: str) -> str:
    """Return the name of a distribution in the form in which names are compared."""
    return re.sub('[-_.]+', '-', name).lower()
