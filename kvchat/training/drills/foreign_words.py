"""Sentences in other languages."""

FOREIGN: dict[str, tuple[str, ...]] = {
    "French": ("Bonjour !", "Bonjour, comment ça va ?", "Comment t'appelles-tu ?", "Qui es-tu ?", "Quelle heure est-il ?", "Quelle est la capitale de l'Italie ?", "Je m'appelle Marie.", "Raconte-moi une histoire.", "Peux-tu m'aider ?", "Merci beaucoup.", "Je ne comprends pas.", "Quel temps fait-il aujourd'hui ?", "salut ca va", "Pourquoi le ciel est-il bleu ?", "J'ai faim.", "Combien font deux et trois ?", "Où habites-tu ?", "Donne-moi une recette, s'il te plaît.", "Est-ce que tu es un robot ?", "Que sais-tu faire ?"),
    "German": ("Guten Tag!", "Hallo, wie geht es dir?", "Wie heißt du?", "Wer bist du?", "Wie spät ist es?", "Was ist die Hauptstadt von Frankreich?", "Ich heiße Peter.", "Erzähl mir eine Geschichte.", "Kannst du mir helfen?", "Vielen Dank.", "Ich verstehe das nicht.", "Wie wird das Wetter morgen?", "was kannst du", "Warum ist der Himmel blau?", "Ich habe Hunger.", "Was ist zwei plus drei?", "Wo wohnst du?", "Gib mir bitte ein Rezept.", "Bist du ein Mensch?", "Wie mache ich einen Kuchen?", "Sprichst du auch andere Sprachen?"),
    "Spanish": ("¡Hola!", "Hola, ¿cómo estás?", "¿Cómo te llamas?", "¿Quién eres?", "¿Qué hora es?", "¿Cuál es la capital de Francia?", "Me llamo Juan.", "Cuéntame una historia.", "¿Puedes ayudarme?", "Muchas gracias.", "No entiendo.", "¿Qué tiempo hace hoy?", "que puedes hacer", "¿Por qué el cielo es azul?", "Tengo hambre.", "¿Cuánto es dos más tres?", "¿Dónde vives?", "Dame una receta, por favor.", "¿Eres un robot?", "Quiero aprender inglés."),
    "Italian": ("Buongiorno!", "Ciao, come stai?", "Come ti chiami?", "Chi sei?", "Che ore sono?", "Qual è la capitale della Francia?", "Mi chiamo Luca.", "Raccontami una storia.", "Puoi aiutarmi?", "Grazie mille.", "Non capisco.", "Che tempo fa oggi?", "cosa sai fare", "Perché il cielo è blu?", "Ho fame.", "Dove abiti?"),
    "Portuguese": ("Bom dia!", "Olá, tudo bem?", "Como você se chama?", "Quem é você?", "Que horas são?", "Qual é a capital da França?", "Meu nome é Pedro.", "Conte uma história.", "Você pode me ajudar?", "Muito obrigado.", "Não entendo.", "Por que o céu é azul?", "Onde você mora?"),
    "Dutch": ("Goedemorgen!", "Hallo, hoe gaat het?", "Hoe heet je?", "Wie ben jij?", "Hoe laat is het?", "Wat is de hoofdstad van Frankrijk?", "Ik heet Jan.", "Vertel me een verhaal.", "Kun je me helpen?", "Dank je wel.", "Ik begrijp het niet.", "Waarom is de lucht blauw?"),
    "Polish": ("Dzień dobry!", "Cześć, jak się masz?", "Jak masz na imię?", "Kim jesteś?", "Która godzina?", "Opowiedz mi historię.", "Czy możesz mi pomóc?", "Dziękuję bardzo.", "Nie rozumiem."),
    "Swedish": ("God morgon!", "Hej, hur mår du?", "Vad heter du?", "Vem är du?", "Vad är klockan?", "Berätta en saga.", "Kan du hjälpa mig?", "Tack så mycket.", "Jag förstår inte."),
    "Turkish": ("Günaydın!", "Merhaba, nasılsın?", "Adın ne?", "Sen kimsin?", "Saat kaç?", "Bana bir hikaye anlat.", "Bana yardım eder misin?", "Teşekkür ederim."),
    "Russian": ("Привет!", "Как дела?", "Как тебя зовут?", "Кто ты?", "Расскажи историю.", "Спасибо.", "Ты говоришь по-русски?"),
    "Greek": ("Καλημέρα!", "Τι κάνεις;", "Πώς σε λένε;", "Ευχαριστώ."),
    "Japanese": ("こんにちは", "お元気ですか", "あなたは誰ですか", "ありがとう"),
    "Chinese": ("你好", "你是谁?", "今天天气怎么样?", "谢谢"),
    "Arabic": ("مرحبا", "كيف حالك؟", "من أنت؟", "شكرا"),
}  # fmt: skip
