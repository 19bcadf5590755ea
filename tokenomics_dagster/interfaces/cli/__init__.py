"""The `tokenomics` command, one module per group of commands. What they do lies in operations/, in demo.py and in the
sandbox; a command imports that only when it is called, so that `--help` is there at once.

Exit code: 0 done, 1 failed, 2 wrong usage.
"""
