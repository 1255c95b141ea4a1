"""The tests say which package they run, keep no kernels between processes, and write down which rows of the conformance checklist
they show: @pytest.mark.covers("F01", "C6") becomes a property of the test in --junitxml, which scripts/coverage-table reads."""
import os

os.environ.setdefault("FLEXJIT_CACHE_DIR", "")


def pytest_configure(config):
    config.addinivalue_line("markers", "covers(*ids): shows all that these rows of the conformance checklist ask for")


def pytest_collection_modifyitems(items):
    for item in items:
        ids = [one for mark in item.iter_markers("covers") for one in mark.args]
        if ids:
            item.user_properties.append(("checklist", " ".join(ids)))


def pytest_report_header(config):
    import flexjit

    return f"flexjit of {os.path.dirname(flexjit.__file__)}, {flexjit.describe_host()}"
