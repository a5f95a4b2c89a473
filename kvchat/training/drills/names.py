"""Names for the drills: of people, pets and towns, real ones and ones that nobody has.

About half of the names given out are rare or invented, so that the model has to copy a name piece
by piece and cannot pick one that it knows.
"""

import random


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIRLS = _split(
    "Adaeze Agnes Aiko Aisha Alice Alma Amara Amelie Amina Anahit Anna Anouk Antonia Anya Ariadne Asha Astrid Aurelia "
    "Ayla Beatriz Bella Birgit Bronwyn Brunhild Camila Carla Carmen Catalina Cecilia Chiara Chloe Clara Daphne Delphine "
    "Dilara Dora Edith Eilidh Elena Elif Elina Ella Elodie Emma Esme Esperanza Eszter Eva Farida Fatima Flora Freya "
    "Gina Giulia Grace Greta Gudrun Hana Hannah Helen Hilda Hinata Ida Ilse Imani Inaya Ines Ingrid Ioana Irina Iris "
    "Isolde Ivana Jana Jasmin Johanna Julia Jutta Kaja Kalina Kate Keiko Khadija Kirsten Klara Lakshmi Laila Laura Lea "
    "Leilani Lena Leonie Lidia Lily Lina Linnea Lisbet Livia Lucy Ludmila Luisa Lupita Maeve Magda Maja Malin Marah "
    "Maria Mariam Marit Marta Matilda Meera Mei Mercy Mia Mila Mira Miriam Nadia Naledi Naomi Nara Nerys Nia Niamh "
    "Nina Noor Nora Odette Oksana Olga Olwen Ondine Ottilie Parvati Paula Pernille Petra Philippa Pia Priya Quyen "
    "Rania Renata Rhiannon Rita Rosa Rosalind Ruth Sabine Sakura Salma Samira Sana Sanne Saoirse Sara Saskia Selma "
    "Shirin Sigrid Signe Sofia Solveig Stella Svetlana Svea Tamar Tara Thandi Thuy Tina Tove Ulrike Una Ursula "
    "Valentina Vera Vesna Viola Wanda Wendy Wilma Xenia Ximena Yara Yasmin Yuki Zainab Zara Zeynep Zita Zoe Zuzana"
)
BOYS = _split(
    "Abel Adam Ahmed Akira Aleksander Alessio Alvaro Amadou Amir Anders Andrei Anselm Anton Aram Ari Arjun Arthur "
    "Asher Axel Balint Bartek Bastian Ben Bernard Bilal Bjarne Bogdan Boris Bruno Caspar Cedric Chidi Conor Cosmo "
    "Cyrus Dag Dai Daniel Dario David Declan Detlef Diego Dimitri Edgar Eduardo Eero Egon Eirik Elias Emeka Emil Enzo "
    "Erik Ernesto Esteban Evander Fabian Farouk Felix Ferdinand Fergus Finn Florin Frank Fred Fritz Gabor Gareth "
    "Gaspard Georg Gideon Gunnar Gustav Hamza Harald Harry Hassan Hector Henrik Hiroshi Horst Hugo Ibrahim Idris "
    "Ignacio Igor Ilya Ismael Ivan Jack Jakub Jamal Janek Jasper Javier Jiro Joaquin Jonas Joris Juan Jurgen Kaito "
    "Karim Kasimir Kenji Kofi Konrad Kwame Lars Laszlo Leif Leo Leopold Levi Liam Lorenzo Louis Lubomir Lukas Malik "
    "Manuel Marco Marek Matteo Max Mehmet Miguel Mikkel Milo Mirko Mustafa Nabil Nando Nikhil Nils Noah Oisin Olaf "
    "Oliver Omar Orlando Oscar Osman Otto Pablo Paolo Paul Pavel Pedro Peter Piotr Prakash Quentin Rafael Rajesh "
    "Ramon Rashid Remy Robert Roland Rory Ruben Rufus Ruslan Salvador Sam Samir Sandor Santiago Sebastian Severin "
    "Simon Soren Stefan Stellan Sunil Sven Tadeusz Takeshi Tariq Teodor Theo Thomas Thorsten Tiago Tobias Tom Torben "
    "Umberto Uwe Valentin Vasco Victor Vikram Viljo Vincent Viktor Waldemar Wilhelm Winston Wolfram Xaver Yannick "
    "Yuri Yusuf Zacharias Zbigniew Zoltan"
)
NAMES = sorted({*GIRLS, *BOYS})
PETS = _split(
    "Bandit Bello Biscuit Blacky Bobby Bruno Bubbles Buddy Button Captain Caramel Charlie Chip Cinnamon Clover Coco "
    "Cookie Daisy Dusty Fifi Flash Fluffy Freckles Ginger Goldie Hazel Honey Jumbo Kiki Kiwi Lucky Lulu Luna Maple "
    "Marble Max Merlin Mimi Minka Misty Mochi Moppel Muffin Nala Noodle Nugget Olive Oreo Paddy Peanut Pebble Pepper "
    "Pickles Pip Pixel Poppy Pretzel Pumpkin Rex Rocky Rolo Rusty Sage Shadow Simba Smokey Snowball Socks Sparky Spot "
    "Sprout Sushi Taco Tiger Tinka Toffee Tofu Truffle Turbo Waffles Whiskers Wuschel Yoda Ziggy Zorro"
)
TOWNS = _split(
    "Aalborg Aarhus Accra Agadir Antwerp Athens Augsburg Bari Basel Bath Belfast Bergen Berlin Bilbao Bogota Bologna "
    "Bordeaux Boston Bremen Bristol Brno Bruges Brussels Bucharest Budapest Cadiz Cairo Cardiff Chennai Chicago Cologne "
    "Cork Cusco Dakar Dallas Delft Denver Dresden Dublin Dundee Edinburgh Erfurt Essen Exeter Faro Florence Freiburg "
    "Galway Gdansk Geneva Genoa Ghent Glasgow Graz Grenoble Hamburg Hanoi Havana Heidelberg Helsinki Houston Innsbruck "
    "Istanbul Izmir Jaipur Jena Kassel Kigali Kingston Kobe Krakow Kyoto Lagos Lahore Lausanne Leeds Leipzig Lille Lima "
    "Linz Lisbon Liverpool London Lucerne Lyon Madrid Malmo Manila Marburg Medellin Melbourne Memphis Milan Minsk "
    "Montreal Munich Nagoya Nairobi Nantes Naples Nice Odense Odessa Oran Osaka Oslo Oulu Oxford Padua Paris Perth Pisa "
    "Porto Potsdam Prague Quito Reims Riga Rome Rostock Rouen Salzburg Seattle Seoul Seville Siena Sofia Split "
    "Stockholm Surat Sydney Tallinn Tampere Tartu Tokyo Toledo Toronto Toulouse Trieste Tromso Tunis Turin Turku "
    "Uppsala Utrecht Valencia Venice Verona Vienna Vilnius Warsaw Weimar Winnipeg Wuppertal York Zagreb Zurich"
)

_STARTS = [
    "B",
    "Br",
    "D",
    "Dr",
    "F",
    "Fl",
    "G",
    "Gr",
    "H",
    "J",
    "K",
    "Kr",
    "L",
    "M",
    "N",
    "P",
    "Pl",
    "Qu",
    "R",
    "S",
    "Sh",
    "St",
    "T",
    "Th",
    "Tr",
    "V",
    "W",
    "Y",
    "Z",
    "A",
    "E",
    "I",
    "O",
    "U",
    "Or",
    "El",
]
_MIDDLES = _split("b d dr f g k l ll lm ld m mb n nd nn p r rr rn s sk st t v x z zz rk")
_VOWELS = _split("a e i o u a e i o u ai ee oo ia ou")
_ENDS = ("", "", "", "n", "l", "r", "s", "x", "m", "k", "th", "nd", "sh", "t", "rin", "dor")
_TOWN_ENDS = (
    "ton", "ville", "burg", "stad", "ford", "mouth", "field", "haven", "berg", "wick", "by", "bridge", "dale", "grad",
    "port", "ham", "mere", "holm",
)  # fmt: skip


def made_up_name(rng: random.Random) -> str:
    """Return a name of two or three syllables that can be spoken, such as Drovina or Zekul."""
    start = rng.choice(_STARTS)
    name = start if start[-1].lower() in "aeiou" and start != "Qu" else start + rng.choice(_VOWELS)
    for _ in range(rng.choice((1, 1, 1, 2))):
        name += rng.choice(_MIDDLES) + rng.choice("aeiou")
    name += rng.choice(_ENDS)
    return name.replace("Quu", "Qui").replace("Quo", "Qua")


def a_name(rng: random.Random, *, pronoun: str = "") -> str:
    """Return a person's name, made up in two of five; for `he` or `she` when that is given."""
    if rng.random() < 0.4:
        return made_up_name(rng)
    return rng.choice({"he": BOYS, "she": GIRLS}.get(pronoun, NAMES))


def a_pet_name(rng: random.Random) -> str:
    """Return a name for a pet: a pet's, a person's, or a made-up one."""
    return rng.choice((rng.choice(PETS), rng.choice(NAMES), made_up_name(rng), rng.choice(PETS)))


def a_town(rng: random.Random) -> str:
    """Return a town, in two of five one that no map shows."""
    if rng.random() < 0.6:
        return rng.choice(TOWNS)
    start = rng.choice(_STARTS)
    vowel = "" if start[-1].lower() in "aeiou" else rng.choice("aeiou")
    return start + vowel + rng.choice(("l", "n", "r", "s", "m", "lb", "rn", "x", "d")) + rng.choice(_TOWN_ENDS)  # fmt: skip
