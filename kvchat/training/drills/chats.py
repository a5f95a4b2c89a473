"""Drills: short chats made by rule, for what the corpus teaches too little of.

A chat is a few exchanges of different kinds, so that answering one does not depend on having heard
no other. The same number gives the same chat.
"""

import random
from collections.abc import Callable, Iterator

from kvchat.training.corpus import Message, Record
from kvchat.training.drills.exchange import FIRST, Exchange, typed
from kvchat.training.drills.guides import a_guide
from kvchat.training.drills.lists import a_list, a_member, an_echo
    a_story,
    a_statement,
)
WEIGHTS = (28, 5, 3, 14, 2, 7, 5, 6, 8, 8, 13, 14, 3, 25, 20)
