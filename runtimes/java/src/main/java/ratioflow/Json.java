package ratioflow;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A JSON document as maps, lists, strings, doubles, booleans and null. */
public final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** @throws IllegalArgumentException for text that is no JSON */
    public static Object parse(String text) {
        Json json = new Json(text);
        Object value = json.value(0);
        if (json.next() != 0) throw json.unexpected();
        return value;
    }

    private IllegalArgumentException unexpected() {
        return new IllegalArgumentException("no JSON: unexpected " + (at < text.length() ? "'" + text.charAt(at) + "'" : "end") + " at character " + at);
    }

    private char next() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) at++;
        return at < text.length() ? text.charAt(at) : 0;
    }

    private boolean take(char wanted) {
        if (next() != wanted) return false;
        at++;
        return true;
    }

    private void want(char wanted) {
        if (!take(wanted)) throw unexpected();
    }

    private Object value(int depth) {
        if (depth > 100) throw new IllegalArgumentException("no JSON that can be read: nested too deeply at character " + at);
        if (next() == '"') return string();
        if (take('{')) {
            Map<String, Object> map = new LinkedHashMap<>();
            if (take('}')) return map;
            do {
                if (next() != '"') throw unexpected();
                String key = string();
                want(':');
                map.put(key, value(depth + 1));
            } while (take(','));
            want('}');
            return map;
        }
        if (take('[')) {
            List<Object> list = new ArrayList<>();
            if (take(']')) return list;
            do list.add(value(depth + 1)); while (take(','));
            want(']');
            return list;
        }
        int start = at;
        while (at < text.length() && "+-.eE0123456789truefalsn".indexOf(text.charAt(at)) >= 0) at++;
        String word = text.substring(start, at);
        switch (word) {
            case "true": return true;
            case "false": return false;
            case "null": return null;
            default:
                try {
                    return Double.valueOf(word);
                } catch (NumberFormatException cause) {
                    at = start;
                    throw unexpected();
                }
        }
    }

    private String string() {
        StringBuilder out = new StringBuilder();
        for (at++; at < text.length() && text.charAt(at) != '"'; at++) {
            char c = text.charAt(at);
            if (c != '\\') {
                out.append(c);
                continue;
            }
            if (++at >= text.length()) break;
            char escape = text.charAt(at);
            int known = "\"\\/bfnrt".indexOf(escape);
            if (known >= 0) out.append("\"\\/\b\f\n\r\t".charAt(known));
            else if (escape == 'u' && at + 4 < text.length()) {
                out.append((char) Integer.parseInt(text.substring(at + 1, at + 5), 16));
                at += 4;
            } else throw unexpected();
        }
        if (at >= text.length()) throw unexpected();
        at++;
        return out.toString();
    }
}
