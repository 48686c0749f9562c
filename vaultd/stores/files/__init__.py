"""The files store: captures directory trees and puts them back.

`FilesCapture` reads (`capture`, on top of `walk`, `roots`, `exclude`, `attributes`), `FilesTarget`
writes (`target`, on top of `safewalk`, `folder`, `pending`, `metadata`).
"""
