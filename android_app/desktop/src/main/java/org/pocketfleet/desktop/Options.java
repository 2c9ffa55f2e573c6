package org.pocketfleet.desktop;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The options of one command: {@code --name VALUE} or {@code --name=VALUE}, flags without a value,
 * and the short {@code -v} and {@code -h}. A unique beginning of a name will do.
 */
final class Options {
  private static final int HELP_COLUMN = 26;
  private static final int WIDTH = 100;

  /** Wrong usage, in words for people. */
  static final class UsageException extends Exception {
    private static final long serialVersionUID = 1;

    UsageException(String message) {
      super(message);
    }
  }

  /** What an option is. */
  private static final class Option {
    final String name;
    final String metavar;
    final String help;
    final boolean required;

    Option(String name, String metavar, String help, boolean required) {
      this.name = name;
      this.metavar = metavar;
      this.help = help;
      this.required = required;
    }

    boolean isFlag() {
      return metavar == null;
    }

    String form() {
      return isFlag() ? name : name + " " + metavar;
    }
  }

  private final String command;
  private final String description;
  private final String examples;
  private final Map<String, Option> options = new LinkedHashMap<>();
  private final Map<String, String> values = new LinkedHashMap<>();

  /**
   * Describes a command.
   *
   * @param command as a user types it
   * @param examples lines to show at the end of the help
   */
  Options(String command, String description, String examples) {
    this.command = command;
    this.description = description;
    this.examples = examples;
    flag("--help", "show this help");
  }

  /** Adds an option that has to be given. */
  Options required(String name, String metavar, String help) {
    options.put(name, new Option(name, metavar, help, true));
    return this;
  }

  /** Adds an option that may be given; its default is null. */
  Options optional(String name, String metavar, String help) {
    options.put(name, new Option(name, metavar, help, false));
    return this;
  }

  /** Adds an option with a default. */
  Options optional(String name, String metavar, String help, String byDefault) {
    optional(name, metavar, help + " (default: " + byDefault + ")");
    values.put(name, byDefault);
    return this;
  }

  /** Adds an option without a value. */
  Options flag(String name, String help) {
    options.put(name, new Option(name, null, help, false));
    return this;
  }

  /**
   * Reads arguments.
   *
   * @return false if help was asked for, and now is printed
   * @throws UsageException the arguments are not those of this command
   */
  boolean parse(List<String> arguments) throws UsageException {
    List<String> given = new ArrayList<>();
    for (int at = 0; at < arguments.size(); at++) {
      String argument = arguments.get(at);
      int equals = argument.startsWith("--") ? argument.indexOf('=') : -1;
      Option option = find(equals < 0 ? argument : argument.substring(0, equals));
      if (option.name.equals("--help")) {
        System.out.print(help());
        return false;
      }
      given.add(option.name);
      if (option.isFlag()) {
        if (equals >= 0) {
          throw new UsageException(option.name + " takes no value");
        }
        values.put(option.name, "");
      } else if (equals >= 0) {
        values.put(option.name, argument.substring(equals + 1));
      } else if (at + 1 < arguments.size()) {
        at++;
        values.put(option.name, arguments.get(at));
      } else {
        throw new UsageException(option.name + " needs a value: " + option.form());
      }
    }
    List<String> missing = new ArrayList<>();
    for (Option option : options.values()) {
      if (option.required && !given.contains(option.name)) {
        missing.add(option.form());
      }
    }
    if (!missing.isEmpty()) {
      throw new UsageException("required: " + String.join(", ", missing));
    }
    return true;
  }

  /** The value of an option, its default, or null. */
  String text(String name) {
    return values.get(name);
  }

  /** Whether an option was given. */
  boolean has(String name) {
    return values.containsKey(name);
  }

  /**
   * The value of an option as seconds, watts or the like.
   *
   * @throws UsageException it is not a number from 0 on
   */
  double number(String name) throws UsageException {
    try {
      double number = Double.parseDouble(text(name));
      if (number >= 0 && !Double.isInfinite(number)) {
        return number;
      }
    } catch (NumberFormatException notOne) {
      throw new UsageException(name + ": " + text(name) + " is not a number");
    }
    throw new UsageException(name + ": " + text(name) + " is not a number from 0 on");
  }

  /**
   * The value of an option as a count.
   *
   * @throws UsageException it is not a whole number from 1 on
   */
  int count(String name) throws UsageException {
    String text = text(name);
    if (!text.matches("[1-9][0-9]{0,8}")) {
      throw new UsageException(name + ": " + text + " is not a positive number");
    }
    return Integer.parseInt(text);
  }

  /**
   * The value of an option as one of some words.
   *
   * @throws UsageException it is none of them
   */
  String choice(String name, String... words) throws UsageException {
    String text = text(name);
    if (!Arrays.asList(words).contains(text)) {
      throw new UsageException(name + ": " + text + " is not one of " + String.join(", ", words));
    }
    return text;
  }

  /** What {@code --help} prints. */
  String help() {
    StringBuilder help = new StringBuilder("usage: ").append(command);
    for (Option option : options.values()) {
      if (option.required) {
        help.append(' ').append(option.form());
      }
    }
    help.append(" [options]\n\n").append(description).append("\n\noptions:\n");
    for (Option option : options.values()) {
      StringBuilder line = new StringBuilder("  ").append(option.form());
      if (line.length() >= HELP_COLUMN - 1) {
        help.append(line).append('\n');
        line.setLength(0);
      }
      for (String word : option.help.split(" ", -1)) {
        if (line.length() + 1 + word.length() > WIDTH) {
          help.append(line).append('\n');
          line.setLength(0);
        }
        while (line.length() < HELP_COLUMN - 1) {
          line.append(' ');
        }
        line.append(' ').append(word);
      }
      help.append(line).append('\n');
    }
    return help.append("\nexamples:\n").append(examples).append('\n').toString();
  }

  private Option find(String name) throws UsageException {
    String full = name.equals("-h") ? "--help" : name.equals("-v") ? "--verbose" : name;
    if (options.containsKey(full)) {
      return options.get(full);
    }
    List<String> matching = new ArrayList<>();
    for (String known : options.keySet()) {
      if (full.startsWith("--") && full.length() > 2 && known.startsWith(full)) {
        matching.add(known);
      }
    }
    if (matching.size() == 1) {
      return options.get(matching.get(0));
    }
    throw new UsageException(
        matching.isEmpty()
            ? "unknown argument " + name + "; see " + command + " --help"
            : name + " could be " + String.join(" or ", matching));
  }
}
