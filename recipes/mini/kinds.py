"""What kind of thing an emoji shows, in words a person would use, from the groups of emojibase."""

from __future__ import annotations

from recipes.mini.emoji import Emoji

# Coarse kinds, by subgroup. Subgroups whose members are mixed or abstract ("emotion", "other objects") have none.
KINDS: dict[str, str] = {
    **dict.fromkeys(
        [
            "face-smiling",
            "face-affection",
            "face-tongue",
            "face-hand",
            "face-neutral-skeptical",
            "face-sleepy",
            "face-unwell",
            "face-hat",
            "face-glasses",
            "face-concerned",
            "face-negative",
        ],
        "smiley",
    ),
    **dict.fromkeys(
        ["hand-fingers-open", "hand-fingers-partial", "hand-single-finger", "hand-fingers-closed", "hands"],
        "hand sign",
    ),
    **dict.fromkeys(
        [
            "person",
            "person-gesture",
            "person-role",
            "person-fantasy",
            "person-activity",
            "person-sport",
            "person-resting",
            "family",
        ],
        "human",
    ),
    **dict.fromkeys(
        ["animal-mammal", "animal-bird", "animal-amphibian", "animal-reptile", "animal-marine", "animal-bug"],
        "animal",
    ),
    **dict.fromkeys(["plant-flower", "plant-other"], "plant"),
    **dict.fromkeys(
        ["food-fruit", "food-vegetable", "food-prepared", "food-asian", "food-marine", "food-sweet"], "food"
    ),
    "drink": "drink",
    **dict.fromkeys(["place-building", "place-religious"], "building"),
    **dict.fromkeys(["transport-ground", "transport-water", "transport-air"], "vehicle"),
    "time": "clock",
    "sky-weather": "sky or weather",
    "clothing": "clothing",
    "musical-instrument": "musical instrument",
    "tool": "tool",
    "zodiac": "zodiac sign",
    "arrow": "arrow",
}
NOT_THIS_KIND = {
    "vehicle": (
        "fuel pump,wheel,police car light,horizontal traffic light,vertical traffic light,stop sign,construction,"
        "bus stop,motorway,railway track,oil drum,anchor,ring buoy,seat,airplane departure,airplane arrival,station,"
        "slide,roller coaster,monorail,mountain railway,aerial tramway,suspension railway"
    ),
    "animal": "paw prints,feather,nest with eggs,empty nest,spiral shell,coral,spider web,microbe,wing",
    "building": "brick,rock,wood,hut,building construction",
    "tool": (
        "balance scale,link,broken chain,chains,hook,bomb,water pistol,dagger,crossed swords,bow and arrow,shield,"
        "boomerang,clamp"
    ),
    "sky or weather": (
        "umbrella,closed umbrella,umbrella with rain drops,umbrella on ground,fire,droplet,thermometer,snowman,"
        "snowman without snow"
    ),
    "clothing": "gem stone,lipstick,shopping bags,folding hand fan,hair pick,prayer beads,ring",
    "drink": "ice,clinking beer mugs,clinking glasses",
}
# A thing of the second kind is no clear "no" to the first: a shrimp is an animal, and something to eat.
NO_CLEAR_NO: dict[str, tuple[str, ...]] = {
    "food": ("animal", "plant", "drink"),
    "drink": ("food",),
    "plant": ("food",),
    "animal": ("smiley", "food", "human"),
    "human": ("smiley", "hand sign", "animal"),
    "smiley": ("human",),
    "hand sign": ("human",),
    "arrow": ("tool",),
    "building": ("sky or weather",),
}
ANIMALS: dict[str, str] = {
    "animal-mammal": "mammal",
    "animal-bird": "bird",
    "animal-marine": "sea creature",
    "animal-bug": "insect",
    "animal-reptile": "reptile",
}
FOODS: dict[str, str] = {
    "food-fruit": "fruit",
    "food-vegetable": "vegetable",
    "food-sweet": "something sweet",
    "food-prepared": "cooked dish",
    "food-asian": "cooked dish",
}
# "an animal", "a plant", "food": how the kind stands in "is this ...?".
ARTICLES = {
    "smiley": "a smiley",
    "hand sign": "a hand sign",
    "human": "a human being",
    "animal": "an animal",
    "plant": "a plant",
    "food": "something to eat",
    "drink": "something to drink",
    "building": "a building",
    "vehicle": "a vehicle",
    "clock": "a clock",
    "clothing": "a piece of clothing",
    "musical instrument": "a musical instrument",
    "tool": "a tool",
    "arrow": "an arrow",
}


def kind_of(emoji: Emoji) -> str:
    """Return the coarse kind of an emoji, "" when it has none."""
    kind = KINDS.get(emoji.subgroup, "")
    return "" if emoji.concept in NOT_THIS_KIND.get(kind, "").split(",") else kind


def animal_of(emoji: Emoji) -> str:
    """Return "insect", "reptile" ... for an animal, else ""."""
    return ANIMALS.get(emoji.subgroup, "") if kind_of(emoji) == "animal" else ""


def food_of(emoji: Emoji) -> str:
    """Return "fruit", "vegetable" ... for food, else ""."""
    return FOODS.get(emoji.subgroup, "")
