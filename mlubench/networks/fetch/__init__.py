"""The files of networks: downloads, checked and resumed."""
