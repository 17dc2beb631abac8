"""The commands of ``./cutover``, one file each; each only asks the layers below."""
