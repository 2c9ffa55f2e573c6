package org.pocketfleet.bundle;

import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.pocketfleet.StrictJson;

/**
 * A JSON object whose fields are taken one after the other, each with the type it must have. What
 * is missing, of another type or left over at the end is an error that names the field.
 */
final class Fields {
  private static final int MAX_DEPTH = 16;

  private final String where;
  private final Map<?, ?> values;
  private final List<String> taken = new ArrayList<>();

  private Fields(Object value, String where) throws BundleFormatException {
    if (!(value instanceof Map)) {
      throw new BundleFormatException(where + " is not an object");
    }
    this.values = (Map<?, ?>) value;
    this.where = where;
  }

  /** Turns a value into what it stands for; {@code where} is its name in errors. */
  interface Reader<T> {
    T read(Object value, String where) throws BundleFormatException;
  }

  /** Reads the whole of a JSON text as an object called {@code name}. */
  static Fields parse(ByteBuffer json, String name) throws BundleFormatException {
    Object value;
    try {
      JsonReader reader = StrictJson.reader(json);
      value = value(reader, 0);
      StrictJson.end(reader);
    } catch (IOException | IllegalStateException | NumberFormatException error) {
      throw new BundleFormatException(name + " is not JSON: " + error.getMessage());
    }
    return new Fields(value, name);
  }

  /** Makes a reader of objects from a reader of their fields. */
  static <T> Reader<T> object(FieldsReader<T> read) {
    return (value, where) -> {
      Fields fields = new Fields(value, where);
      T result = read.read(fields);
      fields.end();
      return result;
    };
  }

  /** Turns an object's fields into what they stand for. */
  interface FieldsReader<T> {
    T read(Fields fields) throws BundleFormatException;
  }

  /** Takes a field. */
  <T> T take(String name, Reader<T> read) throws BundleFormatException {
    if (!values.containsKey(name)) {
      throw new BundleFormatException(where + ": missing key '" + name + "'");
    }
    taken.add(name);
    return read.read(values.get(name), where + ": " + name);
  }

  /** Whether there is such a field. */
  boolean has(String name) {
    return values.containsKey(name);
  }

  /** Checks that no field is left. */
  void end() throws BundleFormatException {
    for (Object name : values.keySet()) {
      if (!taken.contains(name)) {
        throw new BundleFormatException(where + ": unknown key '" + name + "'");
      }
    }
  }

  static String text(Object value, String where) throws BundleFormatException {
    if (!(value instanceof String)) {
      throw new BundleFormatException(where + " is not a string");
    }
    return (String) value;
  }

  static long natural(Object value, String where) throws BundleFormatException {
    if (!(value instanceof Long) || (Long) value < 0) {
      throw new BundleFormatException(where + " is not a natural number");
    }
    return (Long) value;
  }

  /** A natural number that an int holds. */
  static int small(Object value, String where) throws BundleFormatException {
    long number = natural(value, where);
    if (number > Integer.MAX_VALUE) {
      throw new BundleFormatException(where + " is too large: " + number);
    }
    return (int) number;
  }

  static double number(Object value, String where) throws BundleFormatException {
    if (!(value instanceof Number) || Double.isInfinite(((Number) value).doubleValue())) {
      throw new BundleFormatException(where + " is not a number");
    }
    return ((Number) value).doubleValue();
  }

  static boolean flag(Object value, String where) throws BundleFormatException {
    if (!(value instanceof Boolean)) {
      throw new BundleFormatException(where + " is not true or false");
    }
    return (Boolean) value;
  }

  /** A string, a number or a truth value, whichever. */
  static Object scalar(Object value, String where) throws BundleFormatException {
    if (value == null || value instanceof Map || value instanceof List) {
      throw new BundleFormatException(where + " is not a plain value");
    }
    return value;
  }

  static <T> Reader<List<T>> each(Reader<T> read) {
    return (value, where) -> {
      if (!(value instanceof List)) {
        throw new BundleFormatException(where + " is not a list");
      }
      List<T> items = new ArrayList<>();
      for (Object item : (List<?>) value) {
        items.add(read.read(item, where + "[" + items.size() + "]"));
      }
      return items;
    };
  }

  static <T> Reader<Map<String, T>> byName(Reader<T> read) {
    return (value, where) -> {
      if (!(value instanceof Map)) {
        throw new BundleFormatException(where + " is not an object");
      }
      Map<String, T> items = new LinkedHashMap<>();
      for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
        String name = (String) entry.getKey();
        items.put(name, read.read(entry.getValue(), where + "." + name));
      }
      return items;
    };
  }

  /** The next value as a map, list, string, long, double, boolean or null. */
  private static Object value(JsonReader json, int depth) throws IOException {
    if (depth > MAX_DEPTH) {
      throw new IOException("nested more than " + MAX_DEPTH + " deep");
    }
    JsonToken token = json.peek();
    switch (token) {
      case BEGIN_OBJECT:
        Map<String, Object> object = new LinkedHashMap<>();
        json.beginObject();
        while (json.hasNext()) {
          String name = json.nextName();
          if (object.containsKey(name)) {
            throw new IOException("key '" + name + "' comes twice");
          }
          object.put(name, value(json, depth + 1));
        }
        json.endObject();
        return object;
      case BEGIN_ARRAY:
        List<Object> list = new ArrayList<>();
        json.beginArray();
        while (json.hasNext()) {
          list.add(value(json, depth + 1));
        }
        json.endArray();
        return list;
      case STRING:
        return json.nextString();
      case BOOLEAN:
        return json.nextBoolean();
      case NULL:
        json.nextNull();
        return null;
      case NUMBER:
        return number(json.nextString());
      default:
        throw new IOException("unexpected " + token);
    }
  }

  private static Number number(String literal) {
    boolean whole = literal.length() <= 18;
    for (int at = literal.startsWith("-") ? 1 : 0; at < literal.length() && whole; at++) {
      whole = literal.charAt(at) >= '0' && literal.charAt(at) <= '9';
    }
    if (whole) {
      return Long.valueOf(literal);
    }
    return Double.valueOf(literal);
  }
}
