"""Every sentence that people read, in every language. A further language is a further column of the catalogue."""

from __future__ import annotations

from whisper_contracts.failures import FailureReason

LANGUAGES = ("en", "ru")

CATALOGUE: dict[str, dict[str, str]] = {
    "start": {
        "en": "Send me a voice note, an audio file or a video, and I write down what is said. /help shows what else I can do.",
        "ru": "Пришлите голосовое сообщение, аудио или видео, и я запишу сказанное текстом. /help покажет, что ещё я умею.",
    },
    "help": {
        "en": "I turn speech into text: voice notes, audio, video messages, videos and files with sound, forwarded ones too.\n\n"
        "/language en – the language that is spoken, or auto\n"
        "/format text – how answers come: text, messages, txt or srt\n"
        "/silent – no progress and no notification sound; again to undo\n"
        "/transcribe – in a group, as a reply to a recording\n"
        "/auto – in a group, every recording is transcribed; admins only\n"
        "/privacy – what is stored and for how long\n"
        "/delete – erase it now; as a reply, of one recording",
        "ru": "Я превращаю речь в текст: голосовые, аудио, видеосообщения, видео и файлы со звуком, пересланные тоже.\n\n"
        "/language ru – язык записи, или auto\n"
        "/format text – в каком виде ответ: text, messages, txt или srt\n"
        "/silent – без хода работы и без звука уведомлений; ещё раз – вернуть\n"
        "/transcribe – в группе, ответом на запись\n"
        "/auto – в группе, расшифровывать каждую запись; только для администраторов\n"
        "/privacy – что хранится и сколько\n"
        "/delete – стереть это сейчас; ответом на запись – только её",
    },
    "privacy": {
        "en": "I keep the id of a message and of its sender, its file's id and which answer was given, for {days} days, "
        "so that nothing is answered twice. Recordings and transcripts lie with the speech service, which deletes them "
        "by itself soon after. I keep no names and no texts that you write. /delete erases everything of this chat now.",
        "ru": "Я храню номера сообщения и отправителя, номер файла и какой ответ был дан, {days} дн., чтобы не отвечать "
        "дважды. Записи и расшифровки лежат в службе распознавания, она вскоре сама их удаляет. Имён и ваших текстов я "
        "не храню. /delete стирает всё об этом чате сразу.",
    },
    "joined": {
        "en": "Hello. Reply /transcribe to a recording, and I write down what is said. If an admin sends /auto, I do so with "
        "every recording; for that I must see all messages: make me an admin, or switch off my group privacy at @BotFather.",
        "ru": "Здравствуйте. Ответьте /transcribe на запись, и я запишу сказанное. Если администратор пришлёт /auto, так будет "
        "с каждой записью; для этого мне нужно видеть все сообщения: сделайте меня администратором или отключите у "
        "@BotFather режим приватности в группах.",
    },
    "received": {"en": "Got it, listening …", "ru": "Получено, слушаю …"},
    "part": {"en": "Part {number} of {total} follows here …", "ru": "Здесь будет часть {number} из {total} …"},
    "queued": {"en": "Waiting, {position} before this one …", "ru": "В очереди, впереди: {position} …"},
    "progress": {"en": "{percent} % done, listening …", "ru": "{percent} % готово, слушаю …"},
    "waiting": {
        "en": "The speech service is busy or away. Your recording is kept, and I try again by myself …",
        "ru": "Служба распознавания занята или недоступна. Запись не потеряна, я попробую снова сам …",
    },
    "no_speech": {"en": "I hear no words in this recording.", "ru": "В этой записи не слышно слов."},
    "not_allowed": {
        "en": "This bot serves only certain people and groups. Ask its operator to add the id {id}.",
        "ru": "Этот бот работает только для некоторых людей и групп. Попросите владельца добавить номер {id}.",
    },
    "over_minutes": {
        "en": "You have used your {limit} minutes of today. The day ends at midnight UTC; please send it again then.",
        "ru": "Ваши {limit} мин. на сегодня закончились. День кончается в полночь по UTC; пришлите запись потом ещё раз.",
    },
    "over_in_flight": {
        "en": "I am still working on {limit} of your recordings. Please send this one again when one of them is done.",
        "ru": "Я ещё работаю над вашими записями ({limit}). Пришлите эту ещё раз, когда одна из них будет готова.",
    },
    "too_big": {
        "en": "This file is larger than the {limit} MB that Telegram lets me download. Please compress it, or send it in parts.",
        "ru": "Этот файл больше {limit} МБ, которые Telegram даёт мне скачать. Сожмите его или пришлите по частям.",
    },
    "no_sound": {
        "en": "This video has no sound, so there is nothing to write down.",
        "ru": "В этом видео нет звука, записывать нечего.",
    },
    "not_audio": {
        "en": "There is no sound in a file of this kind. Send a voice note, an audio file or a video.",
        "ru": "В файле такого вида нет звука. Пришлите голосовое сообщение, аудио или видео.",
    },
    "sticker": {
        "en": "A nice sticker, but it says nothing. Send a voice note, an audio file or a video.",
        "ru": "Хороший стикер, но он ничего не говорит. Пришлите голосовое сообщение, аудио или видео.",
    },
    "send_audio": {
        "en": "I understand recordings only. Send a voice note, an audio file or a video.",
        "ru": "Я понимаю только записи. Пришлите голосовое сообщение, аудио или видео.",
    },
    "unknown_command": {
        "en": "I don't know this command. /help lists them.",
        "ru": "Не знаю такой команды. Все – в /help.",
    },
    "reply_to_recording": {
        "en": "Send /transcribe as a reply to a voice note, an audio file or a video.",
        "ru": "Пришлите /transcribe ответом на голосовое сообщение, аудио или видео.",
    },
    "already": {"en": "It has been transcribed already: see above.", "ru": "Это уже расшифровано: смотрите выше."},
    "groups_only": {
        "en": "In this chat every recording is transcribed anyway.",
        "ru": "В этом чате и так расшифровывается каждая запись.",
    },
    "admins_only": {
        "en": "Only an admin of this group can change that.",
        "ru": "Это может изменить только администратор группы.",
    },
    "auto_on": {
        "en": "From now on I transcribe every recording here that I can see. /auto again ends it.",
        "ru": "Теперь я расшифровываю здесь каждую запись, которую вижу. Ещё раз /auto – перестану.",
    },
    "auto_off": {
        "en": "From now on I transcribe only what somebody replies /transcribe to.",
        "ru": "Теперь я расшифровываю только то, на что ответят /transcribe.",
    },
    "silent_on": {
        "en": "From now on I show no progress and make no sound. /silent again ends it.",
        "ru": "Теперь я не показываю ход работы и не подаю звука. Ещё раз /silent – верну.",
    },
    "silent_off": {"en": "From now on I show progress again.", "ru": "Теперь я снова показываю ход работы."},
    "language_is": {
        "en": "Recordings are taken to be in: {language}. Change it with /language and a code such as en, ru or auto.",
        "ru": "Язык записей: {language}. Изменить: /language и код, например en, ru или auto.",
    },
    "language_unknown": {
        "en": "{language} is no language code. Codes have two or three letters: en, ru, de … or auto.",
        "ru": "{language} – не код языка. В коде две или три буквы: en, ru, de … или auto.",
    },
    "format_is": {
        "en": "Answers come as: {format}. Change it with /format and one of: text, messages, txt, srt.",
        "ru": "Вид ответа: {format}. Изменить: /format и одно из: text, messages, txt, srt.",
    },
    "deleted": {
        "en": "Erased. What stands in this chat you can delete yourself.",
        "ru": "Стёрто. То, что видно в чате, можно удалить самому.",
    },
    "nothing_to_delete": {
        "en": "I keep nothing about that message. Reply /delete to a recording or to its answer; "
        "without a reply it erases everything of this chat.",
        "ru": "Об этом сообщении я ничего не храню. Ответьте /delete на запись или на её расшифровку; "
        "без ответа /delete стирает всё об этом чате.",
    },
    "button_retry": {"en": "Try again", "ru": "Попробовать ещё раз"},
    "button_srt": {"en": "SRT", "ru": "SRT"},
    "button_txt": {"en": "TXT", "ru": "TXT"},
    "tap_taken": {"en": "I try again.", "ru": "Пробую ещё раз."},
    "tap_file": {"en": "Here it comes.", "ru": "Отправляю."},
    "tap_gone": {
        "en": "This transcript is not kept any more. Send the recording again.",
        "ru": "Эта расшифровка уже не хранится. Пришлите запись ещё раз.",
    },
    "file_gone": {
        "en": "Telegram does not hand out this file any more. Please send the recording again.",
        "ru": "Telegram больше не отдаёт этот файл. Пришлите запись ещё раз.",
    },
    "failed_refused": {
        "en": "The speech service did not take this recording. Try another file, or tell the bot's operator.",
        "ru": "Служба распознавания не приняла эту запись. Попробуйте другой файл или скажите владельцу бота.",
    },
    "failed_bad_audio": {
        "en": "This file could not be read as sound. Check that it plays, and send it again.",
        "ru": "Этот файл не читается как звук. Проверьте, что он проигрывается, и пришлите ещё раз.",
    },
    "failed_too_large": {
        "en": "This file is larger than the speech service accepts. Please compress it, or send it in parts.",
        "ru": "Этот файл больше, чем принимает служба распознавания. Сожмите его или пришлите по частям.",
    },
    "failed_too_long": {
        "en": "This recording is longer than the speech service accepts. Please send it in parts.",
        "ru": "Эта запись длиннее, чем принимает служба распознавания. Пришлите её по частям.",
    },
    "failed_no_audio_stream": {
        "en": "This file has no sound, so there is nothing to write down.",
        "ru": "В этом файле нет звука, записывать нечего.",
    },
    "failed_unsupported_language": {
        "en": "The speech model does not know the chosen language. Change it with /language, then send the recording again.",
        "ru": "Модель не знает выбранного языка. Измените его через /language и пришлите запись ещё раз.",
    },
    "failed_server_unavailable": {
        "en": "No speech server could be reached for a long time. Please try again later.",
        "ru": "Долго не удавалось достучаться до серверов распознавания. Попробуйте позже.",
    },
    "failed_server_error": {
        "en": "The speech server failed on this recording several times. You can try again.",
        "ru": "Сервер распознавания несколько раз не справился с этой записью. Можно попробовать ещё раз.",
    },
    "failed_timeout": {
        "en": "The speech server took too long for this recording several times. Please try again later.",
        "ru": "Сервер распознавания несколько раз не успел обработать эту запись. Попробуйте позже.",
    },
    "failed_cancelled": {
        "en": "The work on this recording was cancelled. Send it again if you still want the text.",
        "ru": "Работа над этой записью отменена. Пришлите её ещё раз, если текст ещё нужен.",
    },
    "failed_expired": {
        "en": "This recording waited longer than the speech service keeps them. Please send it again.",
        "ru": "Эта запись ждала дольше, чем служба распознавания их хранит. Пришлите её ещё раз.",
    },
    "failed_internal": {
        "en": "Something failed inside the speech service. You can try again.",
        "ru": "Внутри службы распознавания что-то сломалось. Можно попробовать ещё раз.",
    },
    "notice_key_refused": {
        "en": "The gateway refuses the bot's API key. Recordings are kept, and none is transcribed: check WHISPERFLEET_API_KEY.",
        "ru": "Шлюз не принимает ключ бота. Записи хранятся, но не расшифровываются: проверьте WHISPERFLEET_API_KEY.",
    },
    "notice_gateway_away": {
        "en": "The gateway has not answered for a while ({reason}). Recordings are kept and wait for it.",
        "ru": "Шлюз давно не отвечает ({reason}). Записи хранятся и ждут его.",
    },
    "notice_answer_refused": {
        "en": "Telegram refused an answer for good: {reason}. It was not delivered.",
        "ru": "Telegram окончательно отверг ответ: {reason}. Он не доставлен.",
    },
    "menu_language": {"en": "Language of the recordings", "ru": "Язык записей"},
    "menu_format": {"en": "How answers come", "ru": "Вид ответа"},
    "menu_silent": {"en": "Without progress and sound", "ru": "Без хода работы и звука"},
    "menu_transcribe": {
        "en": "In groups: transcribe what you reply to",
        "ru": "В группах: расшифровать, на что отвечаете",
    },
    "menu_auto": {"en": "In groups: transcribe every recording", "ru": "В группах: расшифровывать каждую запись"},
    "menu_privacy": {"en": "What is stored", "ru": "Что хранится"},
    "menu_delete": {"en": "Erase what is stored", "ru": "Стереть, что хранится"},
    "menu_help": {"en": "What I can do", "ru": "Что я умею"},
}

MENU = ("language", "format", "silent", "transcribe", "auto", "privacy", "delete", "help")


def language_for(language_code: str) -> str:
    """language_code: an IETF tag from Telegram, such as `ru` or `pt-br`."""
    primary = language_code.partition("-")[0].lower()
    return primary if primary in LANGUAGES else LANGUAGES[0]


def sentence(key: str, reads: str, /, **values: str | int) -> str:
    """reads: the reader's language. Values may be named as they like, `language` too."""
    return CATALOGUE[key][reads].format(**values)


def failure_sentence(reason: str | None, language: str) -> str:
    """reason: of a failed job; one from a newer service reads as internal."""
    key = f"failed_{reason}"
    return sentence(key if key in CATALOGUE else f"failed_{FailureReason.INTERNAL}", language)


def menu(language: str) -> dict[str, str]:
    return {command: sentence(f"menu_{command}", language) for command in MENU}
