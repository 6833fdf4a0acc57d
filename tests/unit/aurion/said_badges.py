"""Say a badge as people do, written without a look at the product's lexicons."""

from collections.abc import Callable

from hypothesis import strategies as st

DIGITS = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "fr": ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"],
    "nl": ["nul", "een", "twee", "drie", "vier", "vijf", "zes", "zeven", "acht", "negen"],
    "de": ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
}
DOUBLE = {"en": "double", "fr": "double", "nl": "dubbel", "de": "doppel"}
TRIPLE = {"en": "triple", "fr": "triple", "nl": "driedubbel", "de": "dreimal"}
PRELUDES = {
    "en": ["", "My badge number is ", "Sure, it's ", "Hi, this is Alice Martin, badge "],
    "fr": ["", "Mon numéro de badge est le ", "Alors, c'est le ", "Bonjour, le badge "],
    "nl": ["", "Mijn badgenummer is ", "Dat is ", "Hallo, mijn pasje heeft nummer "],
    "de": ["", "Meine Ausweisnummer ist ", "Ja, das ist die ", "Guten Tag, mein Ausweis: "],
}
NATO = [
    "Alpha",
    "Bravo",
    "Charlie",
    "Delta",
    "Echo",
    "Foxtrot",
    "Golf",
    "Hotel",
    "India",
    "Juliett",
    "Kilo",
    "Lima",
    "Mike",
    "November",
    "Oscar",
    "Papa",
    "Quebec",
    "Romeo",
    "Sierra",
    "Tango",
    "Uniform",
    "Victor",
    "Whiskey",
    "X-ray",
    "Yankee",
    "Zulu",
]
AS_IN = {
    "en": "{} as in {}",
    "fr": "{} comme {}",
    "nl": "{} van {}",
    "de": "{} wie {}",
}

_EN_TEENS = [
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_EN_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_FR_TEENS = [
    "dix",
    "onze",
    "douze",
    "treize",
    "quatorze",
    "quinze",
    "seize",
    "dix-sept",
    "dix-huit",
    "dix-neuf",
]
_NL_TEENS = [
    "tien",
    "elf",
    "twaalf",
    "dertien",
    "veertien",
    "vijftien",
    "zestien",
    "zeventien",
    "achttien",
    "negentien",
]
_NL_TENS = ["twintig", "dertig", "veertig", "vijftig", "zestig", "zeventig", "tachtig", "negentig"]
_DE_TEENS = [
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
]
_DE_TENS = ["zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]


def english(number: int) -> str:
    if number < 20:
        return (DIGITS["en"] + _EN_TEENS)[number]
    tens = _EN_TENS[number // 10 - 2]
    return f"{tens}-{DIGITS['en'][number % 10]}" if number % 10 else tens


def french(number: int, *, swiss: bool = False) -> str:
    digits = DIGITS["fr"]
    if number < 20:
        return (digits + _FR_TEENS)[number]
    tens, ones = divmod(number, 10)
    plain = {2: "vingt", 3: "trente", 4: "quarante", 5: "cinquante", 6: "soixante"}
    if swiss:
        plain |= {7: "septante", 8: "huitante", 9: "nonante"}
    if tens in plain:
        return plain[tens] + ("" if not ones else " et un" if ones == 1 else f"-{digits[ones]}")
    if tens == 7:
        return "soixante et onze" if ones == 1 else f"soixante-{_FR_TEENS[ones]}"
    if number == 80:
        return "quatre-vingts"
    return f"quatre-vingt-{(digits + _FR_TEENS)[number - 80]}"


def _unit_first(
    number: int, digits: list[str], teens: list[str], tens: list[str], joint: str
) -> str:
    if number < 20:
        return (digits + teens)[number]
    ones = number % 10
    one = "ein" if digits[ones] == "eins" else digits[ones]
    return (f"{one}{joint}" if ones else "") + tens[number // 10 - 2]


def dutch(number: int) -> str:
    ones = number % 10
    joint = "ën" if ones in (2, 3) else "en"
    return _unit_first(number, DIGITS["nl"], _NL_TEENS, _NL_TENS, joint)


def german(number: int) -> str:
    return _unit_first(number, DIGITS["de"], _DE_TEENS, _DE_TENS, "und")


NUMBERS: dict[str, Callable[[int], str]] = {
    "en": english,
    "fr": french,
    "nl": dutch,
    "de": german,
}


def say_two(pair: str, language: str, *, swiss: bool = False) -> str:
    """Say two digits as one number, "04" as "zero four"."""
    if pair[0] == "0":
        return " ".join(DIGITS[language][int(digit)] for digit in pair)
    if language == "fr":
        return french(int(pair), swiss=swiss)
    return NUMBERS[language](int(pair))


@st.composite
def said_digits(draw: st.DrawFn, badge: str, language: str) -> str:
    """Say digits one by one, in pairs or with doubles, in a mix people use."""
    way = draw(st.sampled_from(["words", "pairs", "doubles", "written", "hundreds"]))
    swiss = draw(st.booleans())
    separator = draw(st.sampled_from([" ", ", ", "... "]))
    said: list[str] = []
    at = 0
    while at < len(badge):
        rest = badge[at:]
        if way == "doubles" and len(rest) > 2 and rest[0] == rest[1] == rest[2]:
            said.append(f"{TRIPLE[language]} {DIGITS[language][int(rest[0])]}")
            at += 3
        elif way == "doubles" and len(rest) > 1 and rest[0] == rest[1]:
            said.append(f"{DOUBLE[language]} {DIGITS[language][int(rest[0])]}")
            at += 2
        elif way == "pairs" and len(rest) > 1:
            said.append(say_two(rest[:2], language, swiss=swiss))
            at += 2
        elif way == "hundreds" and language == "en" and len(rest) > 2 and "0" not in rest[:2]:
            said.append(f"{DIGITS['en'][int(rest[0])]} hundred {english(int(rest[1:3]))}")
            at += 3
        elif way == "written":
            size = draw(st.integers(1, 3))
            said.append(rest[:size])
            at += size
        else:
            said.append(DIGITS[language][int(rest[0])])
            at += 1
    return separator.join(said)


@st.composite
def said_letters(draw: st.DrawFn, letters: str, language: str) -> str:
    """Spell letters: as letters, by the radio alphabet, or "B as in Bravo"."""
    said: list[str] = []
    for letter in letters:
        radio = NATO[ord(letter) - ord("A")]
        way = draw(st.sampled_from(["letter", "radio", "as in"]))
        if way == "letter":
            said.append(letter)
        elif way == "radio":
            said.append(radio)
        else:
            said.append(AS_IN[language].format(letter, radio))
    return ", ".join(said)
