"""Past one machine, on engines that exist: `make scale` installs them and runs what is here; `make test` does not."""
