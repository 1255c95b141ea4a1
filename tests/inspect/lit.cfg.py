# lit's configuration: every *.flex file here is a pattern whose RUN lines show it in the inspector and whose check lines FileCheck
# compares with what is shown. `update` rewrites them.
import os
import platform

import lit.formats

config.name = "inspect"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".flex"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = lit_config.params["work"]
config.environment["FLEXJIT_CACHE_DIR"] = ""
config.substitutions += [("%inspect", lit_config.params["flexjit"] + " inspect"), ("%check", lit_config.params["filecheck"])]
# Plans of targets that the machine can execute follow its caches; the tests show those of others.
if platform.machine() != "x86_64":
    config.unsupported = True
