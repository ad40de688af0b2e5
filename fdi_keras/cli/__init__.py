"""The command line ``fdi``: everything the library does, without a screen of its own.

One file a verb, loaded when that verb is asked for, so that ``fdi --help`` and
``fdi devices`` answer at once. A verb's file reads its arguments and calls the
library; what people see is drawn by the ``*_view`` file beside it, which is where
rich is imported.

What every verb keeps to:

* results go to standard output, progress, warnings and errors to standard error;
* ``--json`` prints one JSON document and nothing else;
* exit status 0: done; 1: failed; 2: wrong use; 130: interrupted with Ctrl-C;
* an expected error is one line, a traceback means that the program is at fault
  (``FDI_DEBUG=1`` shows it for expected ones too).
"""

from fdi_keras.cli.app import fdi, main

__all__ = ["fdi", "main"]
