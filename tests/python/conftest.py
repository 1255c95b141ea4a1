"""The tests say which package they run, and keep no kernels between processes."""
import os

os.environ.setdefault("FLEXJIT_CACHE_DIR", "")


def pytest_report_header(config):
    import flexjit

    return f"flexjit of {os.path.dirname(flexjit.__file__)}, {flexjit.describe_host()}"
