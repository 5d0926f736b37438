"""The files that GitHub and citation tools read agree with the Makefile, ``.ci/run``, the package and the pages."""

import re
from fnmatch import fnmatch

import pytest
import yaml
from pages import ROOT

from mmdiffperc.version import REPOSITORY, __version__

WORKFLOWS = ROOT / '.github' / 'workflows'
CITATION = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
MAKEFILE = (ROOT / 'Makefile').read_text()


def read_workflow(name):
    """The jobs of a workflow, and the commands of each."""
    jobs = yaml.safe_load((WORKFLOWS / name).read_text())['jobs']
    return jobs, {name: [step.get('run') for step in job.get('steps', ())] for name, job in jobs.items()}


def test_every_supported_python_is_tested():
    jobs, commands = read_workflow('ci.yml')
    versions = jobs['test']['strategy']['matrix']['python']
    assert '.ci/run' in commands['test']
    (smoke,) = re.findall(r'SMOKE_PYTHONS-([\d. ]+)\}', (ROOT / '.ci' / 'run').read_text())
    (chosen,) = re.findall(r'^PYTHON \?= (.*)$', MAKEFILE, re.MULTILINE)
    assert versions == smoke.split() == re.findall(r'python(3\.\d+)', chosen)


def test_a_release_is_what_the_tests_have_seen():
    jobs, commands = read_workflow('release.yml')
    assert jobs['ci']['uses'] == './.github/workflows/ci.yml' and jobs['publish']['needs'] == 'ci'
    assert jobs['publish']['permissions']['id-token'] == 'write'
    uploaded, downloaded = (
        next(step['with'] for step in job['steps'] if f'{verb}-artifact' in step.get('uses', ''))
        for verb, job in (('upload', read_workflow('ci.yml')[0]['build']), ('download', jobs['publish']))
    )
    assert uploaded['name'] == downloaded['name']


def test_ci_and_hooks_call_the_same_linters():
    hooks = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos'][0]['hooks']
    lint = re.search(r'^lint: .*\n((?:\t.*\n)+)', MAKEFILE, re.MULTILINE)[1]
    for hook in hooks:
        command = hook['entry'].removesuffix(' --fix').replace('make', '$(MAKE) --no-print-directory')
        assert command in lint, command
    assert {'make test', 'make lint', 'make docs'} < set((ROOT / '.ci' / 'run').read_text().splitlines())


def test_every_file_of_the_repository_has_its_schema():
    (recipe,) = re.findall(r'^lint-repository: .*\n((?:\t.*\n)+)', MAKEFILE, re.MULTILINE)
    checked = [word for line in recipe.splitlines() if 'SCHEMA' in line for word in line.split()[2:]]
    files = [*(ROOT / '.github').rglob('*.yml'), ROOT / '.readthedocs.yaml', ROOT / 'CITATION.cff']
    names = {str(file.relative_to(ROOT)) for file in files} - {'.github/zizmor.yml'}
    assert {name for name in names if not any(fnmatch(name, pattern) for pattern in checked)} == set()


def test_a_bug_report_needs_the_output_of_the_doctor():
    form = yaml.safe_load((ROOT / '.github' / 'ISSUE_TEMPLATE' / 'bug_report.yml').read_text())
    (doctor,) = [field for field in form['body'] if field.get('id') == 'doctor']
    assert 'python -m mmdiffperc doctor' in doctor['attributes']['description']
    assert doctor['validations']['required']


def test_the_citation_is_that_of_the_pages():
    assert CITATION['version'] == __version__ and f'Version {__version__}' in (ROOT / 'README.md').read_text()
    titles = {reference['title']: reference for reference in CITATION['references']}
    entries = re.findall(r'@(?!misc)\w+\{.*?\n\}', (ROOT / 'docs' / 'faq.md').read_text(), re.DOTALL)
    assert len(entries) >= 4
    for entry in entries:
        fields = dict(re.findall(r'(\w+)\s+= \{(.*)\}', entry))
        reference = titles[fields['title']]
        assert str(reference['year']) == fields['year']
        names = [f'{author["family-names"]}, {author["given-names"]}' for author in reference['authors']]
        assert names == fields['author'].replace('{\\"o}', 'ö').split(' and ')


@pytest.mark.parametrize('reference', CITATION['references'], ids=lambda reference: reference['notes'])
def test_cited_papers_are_those_of_the_methods(reference):
    (identifier,) = reference['identifiers']
    number = identifier['value'].removeprefix('arXiv:')
    pages = [ROOT / 'README.md', *(ROOT / 'configs').rglob('README.md')]
    assert any(f'arxiv.org/abs/{number}' in page.read_text() for page in pages)


def test_the_address_of_the_repository_is_everywhere_or_nowhere():
    assert CITATION.get('repository-code', '') == REPOSITORY
    badge = f'https://colab.research.google.com/github/{REPOSITORY.removeprefix("https://github.com/")}/'
    notebook = (ROOT / 'demo' / 'mmdiffperc.ipynb').read_text()
    assert ('colab.research.google.com' in notebook) == (badge in notebook) == bool(REPOSITORY)
