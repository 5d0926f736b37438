"""The version of the package and the address of its repository, readable without importing the package."""

__version__ = '0.1.0'
REPOSITORY = ''  # such as 'https://github.com/OWNER/mmdiffperc'; empty, because there is no public one yet
