"""The commands of ``./cutover``, one file a subject; each only calls the layers below."""
