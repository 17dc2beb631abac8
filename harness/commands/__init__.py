"""The commands of ``./cutover``, one file each; each only calls the layers below."""
