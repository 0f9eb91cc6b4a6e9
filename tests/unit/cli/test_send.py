from cli.commands.send import parse_pairs


def test_values_are_json_where_they_are_json_and_text_elsewhere() -> None:
    given = ["a=19.99", "b=true", 'c=["x"]', "d=007", "e=NaN", "f=-Infinity", "g=", "h=x=y"]
    assert parse_pairs(given) == {
        "a": 19.99,
        "b": True,
        "c": ["x"],
        "d": "007",
        "e": "NaN",
        "f": "-Infinity",
        "g": "",
        "h": "x=y",
    }
