"""Measure a job on another machine. Each kind of target has its own file, see `target`.

`bundle` packs a job for a device, and `unpacked` reads it there. `device` measures it, `detached` measures it in the
background, and `ready` finds and installs missing packages. `ssh` does all of this over `link`, the system's ssh.
"""
