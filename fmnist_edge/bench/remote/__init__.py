"""Where a job is measured, other than in this process's own machine: a file each, see `target`.

What goes to a device is a bundle (`bundle` writes it, `unpacked` reads it there); `device` measures it, `detached` does
so without anyone watching, `ready` says what is missing. `ssh` does all of that over `link`, the system's ssh.
"""
