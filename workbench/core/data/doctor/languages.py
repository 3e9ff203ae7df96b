"""Which language a text is in, as far as its script and its small words tell.

It is a guess for whole sentences: a text of fewer than six words, a list of names or a piece of code is "other".
"""

import re
from collections.abc import Set

OTHER = "other"

NAMES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "pt": "Portuguese",
    "nl": "Dutch",
    "sv": "Swedish",
    "da": "Danish or Norwegian",
    "pl": "Polish",
    "cs": "Czech",
    "ro": "Romanian",
    "tr": "Turkish",
    "id": "Indonesian or Malay",
    "vi": "Vietnamese",
    "zh": "Chinese",
    "ja": "Japanese",
    "ko": "Korean",
    "ru": "Russian or another in Cyrillic",
    "el": "Greek",
    "ar": "Arabic or Persian",
    "he": "Hebrew",
    "hi": "Hindi or another in Devanagari",
    "bn": "Bengali",
    "ta": "Tamil",
    "th": "Thai",
    OTHER: "other or too short to tell",
}

CODES = tuple(NAMES)
"""Every code, so that a place in it can stand for a language in one byte."""

FEWEST_WORDS = 6
_FEWEST_SMALL_WORDS = 3
_MOST_CHARACTERS = 500
# Of ordinary prose a third to a half are small words, half of them repeated; lists and code have few.
_LEAST_SHARE = 0.1


def language(text: str) -> str:
    """Code of the language of a text, or "other". Code between fences and tokens of a template do not count."""
    prose = _NO_PROSE.sub(" ", text) if "```" in text or "<|" in text else text
    text = prose[:_MOST_CHARACTERS].casefold()
    if not text.isascii():
        script = _of_script(text)
        if script:
            return script
    words = _WORD.findall(text)
    if len(words) < FEWEST_WORDS:
        return OTHER
    return _likeliest(set(words), max(_FEWEST_SMALL_WORDS, _LEAST_SHARE * len(words)))


def asks_in(prompt: str, code: str) -> bool:
    """Whether a line or clause of a prompt, however short, is in a language: an instruction beside a foreign text."""
    pieces = _CLAUSE.split(prompt.casefold())
    return any(_of_script(piece) == code or _likeliest(set(_WORD.findall(piece)), 1) == code for piece in pieces)


def may_mean_another(prompt: str) -> bool:
    """Whether a prompt speaks of a language, or of a text to work on, so that an answer in another one may be meant."""
    return bool(_NAMED.search(prompt))


def _of_script(text: str) -> str | None:
    """The language of a text that is mostly in another script than Latin; else None."""
    foreign = _NOT_LATIN.findall(text)
    if len(foreign) < 4 or 2 * len(foreign) < len(_LETTER.findall(text)):
        return None
    letters = "".join(foreign)
    counts = {code: len(pattern.findall(letters)) for code, pattern in _SCRIPTS.items()}
    if counts["ja"] * 12 > counts["ja"] + counts["zh"]:
        return "ja"  # kana are in every Japanese sentence, and in no Chinese one
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else None


def _likeliest(words: Set[str], fewest: float) -> str:
    """The language with the most small words among some, if it is clearly ahead and has at least so many.

    Each word counts once: a repeated unit or name, such as the C of degrees, is no evidence.
    """
    counts: dict[str, int] = {}
    for word in words:
        for code in _LANGUAGES_OF.get(word, ()):
            counts[code] = counts.get(code, 0) + 1
    if not counts:
        return OTHER
    best = max(counts, key=counts.__getitem__)
    second = max((count for code, count in counts.items() if code != best), default=0)
    return best if counts[best] >= fewest and counts[best] > 1.25 * second else OTHER


_WORD = re.compile(r"[^\W\d_]+")
_LETTER = re.compile(r"[^\W\d_]")
_CLAUSE = re.compile(r"[\n:.!?\"“”„«»。]+")
_NO_PROSE = re.compile(r"```.*?(?:```|\Z)|<\|[^|<>]*\|>", re.S)
_NOT_LATIN = re.compile(r"[\u0370-\u1dff\u1f00-\u1fff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_SCRIPTS = {
    "zh": re.compile(r"[\u3400-\u9fff]"),
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af\u1100-\u11ff]"),
    "ru": re.compile(r"[\u0400-\u052f]"),
    "el": re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]"),
    "ar": re.compile(r"[\u0600-\u077f]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
    "bn": re.compile(r"[\u0980-\u09ff]"),
    "ta": re.compile(r"[\u0b80-\u0bff]"),
    "th": re.compile(r"[\u0e00-\u0e7f]"),
}

_SMALL_WORDS = {
    "en": "the of and to a in is that it for was on are as with his they at be this have from or had by but not what "
    "all were we when your can there an which their if will how about would them then these so some her him has do "
    "does you i my me he she because could should who why where been than into its also",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er "
    "hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis "
    "mehr durch man kann wenn ich du wir ihr mein dein was warum wo wer dann doch schon sehr bitte kein keine",
    "fr": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec ou son "
    "comme mais on nous vous je tu elle ils cette ces aux leur être fait bien peut si même sans aussi très où quand "
    "pourquoi comment quel quelle c d l j n qu",
    "es": "de la que el en y a los se del las un por con no una su para es al lo como más pero sus le ya o este sí "
    "porque esta entre cuando muy sin sobre también me hasta hay donde quien desde todo nos durante qué cómo puede ser "
    "son está tu si mi eso",
    "it": "di che e la il un a è per in una sono non con si da come le dei nel alla della del lo gli i anche ma più "
    "se ci o al delle questo questa nella essere ha ho io tu cosa perché quando dove chi molto può suo sua tra degli",
    "pt": "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu "
    "sua ou ser quando muito há nos já está eu também só pelo pela até isso ela entre era depois sem mesmo aos você "
    "pode são porque onde quem",
    "nl": "de van het een en in is dat op te zijn met voor niet aan er om ook als dan maar bij nog uit wordt door naar "
    "heeft hebben deze over ze je ik wij was worden kan tot wat hoe waarom geen meer of die zo veel wel moet",
    "sv": "och i att det som en på är av för med till den har inte om ett han men var jag sig från vi så kan när år "
    "efter upp de vad hur varför eller ut där också mycket bara ska hon detta",
    "da": "og i at det som en på er af for med til den har ikke om et han men var jeg sig fra vi så kan når efter op "
    "de hvad hvordan hvorfor eller ud der også meget kun skal hun dette hvis",
    "pl": "i w na z do się nie że to jest o jak po co za ale od tak czy dla przez tylko są który która które można był "
    "być jego już ich oraz może ten ta te mnie bardzo dlaczego gdzie kiedy lub",
    "cs": "a v se na je že s z do o to i ve jako za pro po k od které který ale by jsou aby jsem co když jak nebo při "
    "také už byl bylo není jen podle může proč kde velmi",
    "ro": "de și în la a cu nu din că pe este un o pentru mai care se ce sau dar sunt fi au ca prin după fost când "
    "cum unde foarte poate acest această lui ei",
    "tr": "bir ve bu da de için ile çok olarak en gibi daha ne kadar var ama sonra ben o mi olan değil nasıl neden "
    "her şey ya ki veya olduğu",
    "id": "yang dan di untuk dengan dari pada ini itu adalah tidak dalam akan ke juga dapat oleh atau karena ada lebih "
    "bisa sebagai saya kamu anda apa bagaimana mengapa sudah mereka",
    "vi": "và là của không có được những một cho các trong với này để người khi đã như về từ tôi bạn thì nhiều ra cũng "
    "làm nếu hay",
}


def _languages_of() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for code, words in _SMALL_WORDS.items():
        for word in words.split():
            found[word] = (*found.get(word, ()), code)
    return found


_LANGUAGES_OF = _languages_of()

_NAMED = re.compile(
    r"summari[sz]e|\btl;?dr\b|paraphrase|proofread|classify|sentiment|\bmeans?\b|\bmeaning\b"
    r"|translat|übersetz|tradu[cisz]|vertaal|переве|перевод|翻译|翻譯|翻訳|訳し|번역"
    r"|\b(?:languages?|english|german|french|spanish|italian|portuguese|dutch|swedish|danish|norwegian|polish|czech"
    r"|romanian|turkish|indonesian|vietnamese|chinese|mandarin|japanese|korean|russian|greek|arabic|hebrew|hindi"
    r"|bengali|tamil|thai|latin|esperanto|ukrainian|finnish|hungarian)\b"
    r"|\b(?:deutsch|englisch|französisch|spanisch|italienisch|japanisch|chinesisch|sprache)"
    r"|\b(?:anglais|allemand|français|espagnol|italien|japonais|chinois|langue)\b"
    r"|\b(?:inglés|alemán|francés|español|italiano|japonés|chino|idioma|inglês|alemão|francês|espanhol|inglese|tedesco"
    r"|francese|spagnolo|engels|duits|frans|spaans|polski|angielski)\b"
    r"|英语|英文|中文|法语|德语|日语|英語|日本語|中国語|영어|한국어|англий|русск|немецк|француз",
    re.I,
)
