"""What every job process has from its beginning: one process loads it, the others are its forks.

What is imported, read and compiled here costs a caller nothing; in a job it is time in which they
hear nothing, and most of all the caller whose agent has just died.
"""

import boto3
from aurion import tls
from aurion.itsm import demo_desk
from aurion.lexicons import lexicon

from agent_container import call, consent, control_words, introductions, phrases, providers
from agent_container.config import Config
from agent_container.engine import answers, cues

__all__ = ["boto3", "call", "demo_desk"]

providers.paid_models(Config.from_environment())
tls.outbound_context()
for _language in phrases.LANGUAGES:
    phrases.keys(_language)
    answers.in_language(_language)
    cues.in_language(_language)
    lexicon(_language)
    consent.is_closing("", _language)
    control_words.find("", [_language])
    introductions.introduces("", _language)
    introductions.says_digits("", _language)
