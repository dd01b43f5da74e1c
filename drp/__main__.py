"""`python -m drp`"""

from drp.cli import main

main()
