"""What the demo model knows: the words of each language, how espeak-ng is to say them, and sentences made of them."""

from __future__ import annotations

import random
from dataclasses import dataclass

LETTERS = tuple("A B C D E F G H I J K L M N O P Q R S T U V W X Y Z".split())
DIGITS = tuple("zero one two three four five six seven eight nine".split())
TEENS = tuple("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split())
TENS = tuple("twenty thirty forty fifty sixty seventy eighty ninety".split())
SPELLING = tuple(
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo "
    "sierra tango uniform victor whiskey xray yankee zulu".split()
)
DAYS = tuple("monday tuesday wednesday thursday friday saturday sunday".split())
MONTHS = tuple("january february march april may june july august september october november december".split())
COLOURS = tuple("red green blue yellow black white orange purple".split())
DIRECTIONS = tuple("left right up down back".split())
THINGS = tuple(
    "light door window music computer name house dog cat bird book table phone message letter coffee milk water "
    "kitchen garden school street station city".split()
)
PEOPLE = tuple("mother father brother sister friend doctor".split())
OTHERS = tuple(
    "hello world yes no start stop open close on off play pause next go turn please thank you good morning night "
    "this is a test the time help error ready done quick brown fox jumps over lazy hundred thousand million today "
    "tomorrow yesterday hour minute week call send save find show record repeat cancel big small old long my and "
    "not here".split()
)

RUSSIAN_DIGITS = tuple("ноль один два три четыре пять шесть семь восемь девять".split())
RUSSIAN_TENS = tuple("десять двадцать тридцать сорок пятьдесят сто тысяча".split())
RUSSIAN_COLOURS = tuple("красный синий белый серый".split())
RUSSIAN_DIRECTIONS = tuple("налево направо прямо назад".split())
RUSSIAN_THINGS = tuple(
    "дверь окно свет музыка дом вода хлеб молоко кот собака мама папа город улица телефон компьютер сообщение".split()
)
RUSSIAN_OTHERS = tuple(
    "привет мир да нет спасибо пожалуйста доброе утро добрый день вечер ночь это тест проверка включи выключи "
    "открой закрой стоп время сегодня завтра вчера хорошо плохо готово помоги позвони найди покажи новый большой "
    "запись начало конец".split()
)

AS_SAID = {"xray": "x-ray"}
"""Where espeak-ng needs another spelling than the transcript's."""

ONLY_IN_SENTENCES = frozenset({"you", "a", "A", "U", "I", "the"})
"""Sound like another word, or change with their neighbours: never among words drawn at random."""


@dataclass(frozen=True)
class Language:
    code: str
    """ISO-639-1."""
    words: tuple[str, ...]
    templates: tuple[str, ...]
    slots: dict[str, tuple[str, ...]]
    runs: tuple[tuple[str, ...], ...]
    """Kinds of words that people say in rows, such as digits."""

    def loose_words(self) -> tuple[str, ...]:
        """The words that may stand beside any other."""
        return tuple(word for word in self.words if word not in ONLY_IN_SENTENCES)


def _unique(*groups: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for group in groups for word in group))


ENGLISH = Language(
    code="en",
    words=_unique(
        DIGITS, TEENS, TENS, LETTERS, SPELLING, DAYS, MONTHS, COLOURS, DIRECTIONS, THINGS, PEOPLE, OTHERS
    ),
    templates=(
        "hello world", "this is a test", "the quick brown fox jumps over the lazy dog", "thank you", "please help",
        "good morning computer", "good morning world", "good night world", "good night", "thank you good night",
        "turn on the {colour} light please", "turn off the {colour} light", "turn the light on", "open the {thing}",
        "open the {colour} door", "close the {colour} door", "please open the window", "close the window please",
        "play the music", "pause the music please", "stop the music", "stop the computer", "go back", "go {direction}",
        "go {direction} please", "turn {direction}", "next is {spelling} {spelling} {spelling}", "next {digit}",
        "the time is {digit} {digit}", "the time is {tens} {digit}", "is this a test", "this is the {colour} house",
        "this is a {colour} {thing}", "this is my {person}", "call my {person}", "call the {person} please",
        "error {digit} {digit} {digit}", "the computer is ready", "test {digit} is done", "yes this is the {thing}",
        "no thank you", "hello {spelling}", "hello this is {spelling} {spelling}", "the name is {spelling}",
        "my name is {letter} {letter} {letter}", "the letter {letter}", "the letter {letter} and the letter {letter}",
        "send a message please", "send the message", "save the record", "find my phone",
        "find the {thing}", "show the {thing} please", "repeat this please", "cancel the message", "not here",
        "today is {day}", "tomorrow is {day}", "yesterday is done", "{day} {month} {tens} {digit}", "{month} {teen}",
        "{digit} hundred and {tens} {digit}", "{digit} thousand {digit} hundred", "{tens} million", "{tens} {digit}",
        "a big {thing} and a small {thing}", "the old {thing} is here", "a long week", "{teen} minute record",
        "one hour and {teen}", "coffee and milk please", "the {thing} and the {thing}", "help my {person}",
        "one two three", "one two three four five", "you",
    ),
    slots={
        "colour": COLOURS, "digit": DIGITS, "direction": DIRECTIONS, "spelling": SPELLING, "thing": THINGS,
        "person": PEOPLE, "letter": LETTERS, "day": DAYS, "month": MONTHS, "teen": TEENS, "tens": TENS,
    },
    runs=(DIGITS, SPELLING, LETTERS, LETTERS, DIGITS + TEENS + TENS),
)  # fmt: skip

RUSSIAN = Language(
    code="ru",
    words=_unique(
        RUSSIAN_DIGITS, RUSSIAN_TENS, RUSSIAN_COLOURS, RUSSIAN_DIRECTIONS, RUSSIAN_THINGS, RUSSIAN_OTHERS
    ),
    templates=(
        "привет мир", "доброе утро", "добрый день", "добрый вечер", "добрый день мама",
        "это тест", "это проверка", "спасибо", "да спасибо", "нет спасибо", "включи свет", "выключи свет пожалуйста",
        "готово", "открой дверь", "закрой окно пожалуйста", "закрой дверь",
        "сегодня хорошо", "завтра плохо", "новый {thing}", "большой {colour} дом", "это {colour} дом", "позвони мама",
        "время {tens} {digit}", "{tens} {digit}", "{digit} тысяча {digit}", "найди {thing}", "покажи {thing}",
        "{direction} пожалуйста", "стоп {direction}", "один два три", "один два три четыре пять", "тест готово",
        "помоги пожалуйста", "начало конец", "это {thing}", "вода хлеб молоко", "мама папа кот собака",
    ),
    slots={
        "colour": RUSSIAN_COLOURS, "digit": RUSSIAN_DIGITS, "direction": RUSSIAN_DIRECTIONS, "thing": RUSSIAN_THINGS,
        "tens": RUSSIAN_TENS,
    },
    runs=(RUSSIAN_DIGITS, RUSSIAN_DIGITS + RUSSIAN_TENS),
)  # fmt: skip

LANGUAGES = (ENGLISH, RUSSIAN)
WORDS = ENGLISH.words + RUSSIAN.words
"""Each word is one token; its place here is its number everywhere in this folder."""


def draw_sentence(language: Language, chance: random.Random) -> tuple[str, ...]:
    """One to fourteen words: a third from the templates, rows of digits and letters, the rest drawn at random."""
    kind = chance.random()
    if kind < 0.35:
        return fill(chance.choice(language.templates), language, chance)
    if kind < 0.60:
        row = chance.choice(language.runs)
        return tuple(chance.choice(row) for _ in range(chance.randint(2, 8)))
    if kind < 0.63:
        return (chance.choice(language.loose_words()),) * chance.randint(2, 4)
    if kind < 0.66:
        return tuple(chance.choice(language.loose_words()) for _ in range(chance.randint(11, 14)))
    return tuple(chance.choice(language.loose_words()) for _ in range(chance.choice((1, 1, 2, 3, 4, 5, 6, 7, 8, 10))))


def fill(template: str, language: Language, chance: random.Random) -> tuple[str, ...]:
    return tuple(
        chance.choice(language.slots[word[1:-1]]) if word.startswith("{") else word for word in template.split()
    )
