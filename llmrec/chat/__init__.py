"""Conversations: what somebody wants is read from their words, done at once, and answered from evidence."""

from llmrec.chat.constraints import Constraints
from llmrec.chat.conversation import Chat
from llmrec.chat.intents import IntentModel, read_examples
from llmrec.chat.protocols import Recommends
from llmrec.chat.reply import Action, Reply
from llmrec.chat.understanding import Understanding, Wish

__all__ = [
    "Action",
    "Chat",
    "Constraints",
    "IntentModel",
    "Recommends",
    "Reply",
    "Understanding",
    "Wish",
    "read_examples",
]
