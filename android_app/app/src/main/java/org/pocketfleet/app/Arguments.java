package org.pocketfleet.app;

import android.content.Context;
import android.os.Bundle;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import org.pocketfleet.SettingsException;
import org.pocketfleet.enrolment.Invitation;
import org.pocketfleet.enrolment.InvitationException;

/**
 * Settings from a script: the extras of {@code am start-foreground-service} and the arguments of
 * {@code am instrument}. Relative paths are in the folder that {@code adb push} can write to.
 */
final class Arguments {
  private static final long MAX_PEM_BYTES = 64 * 1024;

  private final Context context;

  private Arguments(Context context) {
    this.context = context;
  }

  /**
   * Changes settings. The limits (rounds, minutes) are those of this start alone.
   *
   * @param extras by the names in docs/android.md; null: none
   * @param all false: only limits may be given
   * @throws SettingsException a name or a value that makes no sense; nothing was changed
   */
  static Settings apply(Context context, Settings settings, Bundle extras, boolean all)
      throws SettingsException {
    Settings.Builder builder = settings.change();
    builder.maxRounds = 0;
    builder.endAtMs = 0;
    if (extras != null) {
      Arguments arguments = new Arguments(context);
      for (String name : extras.keySet()) {
        arguments.set(builder, name, value(extras, name), all);
      }
    }
    return builder.build();
  }

  // Extras come as texts, numbers or booleans; the typed getters answer null for the wrong type.
  @SuppressWarnings("deprecation")
  private static String value(Bundle extras, String name) {
    return String.valueOf(extras.get(name));
  }

  private void set(Settings.Builder to, String name, String value, boolean all)
      throws SettingsException {
    switch (name) {
      case "rounds":
        to.maxRounds = number(name, value, 1_000_000);
        return;
      case "minutes":
        to.endAtMs = System.currentTimeMillis() + 60_000 * number(name, value, 100_000);
        return;
      case "out":
        if (!value.matches("[A-Za-z0-9_-]{1,40}")) {
          throw wrong(name, value, "letters, digits, - and _");
        }
        to.results = value;
        return;
      default:
        if (!all) {
          throw new SettingsException(
              "argument '"
                  + name
                  + "': a release build takes only rounds, minutes and out here;"
                  + " configure it with am broadcast (docs/android.md)");
        }
        configure(to, name, value);
    }
  }

  private void configure(Settings.Builder to, String name, String value) throws SettingsException {
    switch (name) {
      case "invitation":
        accept(to, read(name, value));
        return;
      case "server":
        checked(name, () -> Invitation.checkServer(value));
        to.server = value;
        return;
      case "ca":
        to.ca = read(name, value);
        String ca = to.ca;
        checked(name, () -> Invitation.checkCertificates(ca));
        return;
      case "trust":
        to.trust = read(name, value);
        String trust = to.trust;
        checked(name, () -> Invitation.checkKey(trust));
        return;
      case "data":
        to.data = existing(name, value);
        return;
      case "test-data":
        to.testData = existing(name, value);
        return;
      case "bundle":
        to.bundle = value.isEmpty() ? "" : existing(name, value);
        return;
      case "name":
        to.name = value;
        return;
      case "processor":
        to.processor = value;
        return;
      case "profile":
        to.profile = value;
        return;
      case "give-up-after":
        to.giveUpAfterS = number(name, value, 1_000_000);
        return;
      default:
        toggle(to, name, value);
    }
  }

  private static boolean on(String name, String value) throws SettingsException {
    if (!value.matches("true|on|false|off")) {
      throw wrong(name, value, "true or false");
    }
    return value.equals("true") || value.equals("on");
  }

  private static void toggle(Settings.Builder to, String name, String value)
      throws SettingsException {
    switch (name) {
      case "insecure":
        to.insecure = on(name, value);
        return;
      case "gate":
        to.gated = on(name, value);
        return;
      case "charging-only":
        to.chargingOnly = on(name, value);
        return;
      case "unmetered-only":
        to.unmeteredOnly = on(name, value);
        return;
      case "idle-only":
        to.idleOnly = on(name, value);
        return;
      case "background":
        to.background = on(name, value);
        return;
      default:
        throw new SettingsException("argument '" + name + "' is unknown; see docs/android.md");
    }
  }

  private static void accept(Settings.Builder to, String json) throws SettingsException {
    checked(
        "invitation",
        () -> {
          Invitation invitation = Invitation.parse(json.getBytes(StandardCharsets.UTF_8));
          to.server = invitation.server();
          to.ca = invitation.ca() == null ? "" : invitation.ca();
          to.trust = invitation.trust();
          to.insecure = false;
        });
  }

  private interface Check {
    void run() throws InvitationException;
  }

  private static void checked(String name, Check check) throws SettingsException {
    try {
      check.run();
    } catch (InvitationException error) {
      throw new SettingsException("argument '" + name + "': " + error.getMessage(), error);
    }
  }

  private File file(String path) {
    File file = new File(path);
    return file.isAbsolute() ? file : new File(Places.exchange(context), path);
  }

  private String existing(String name, String path) throws SettingsException {
    File file = file(path);
    if (!file.canRead()) {
      throw wrong(name, file.getPath(), "a file or folder that this app can read");
    }
    return file.getPath();
  }

  private String read(String name, String path) throws SettingsException {
    File file = new File(existing(name, path));
    try {
      if (file.length() > MAX_PEM_BYTES) {
        throw wrong(name, path, "a file of at most 64 KiB");
      }
      return new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8);
    } catch (IOException error) {
      throw new SettingsException(file + ": cannot be read: " + error.getMessage(), error);
    }
  }

  private static long number(String name, String value, long most) throws SettingsException {
    long number = value.matches("[0-9]{1,9}") ? Long.parseLong(value) : -1;
    if (number < 0 || number > most) {
      throw wrong(name, value, "a whole number up to " + most);
    }
    return number;
  }

  private static SettingsException wrong(String name, String value, String expected) {
    return new SettingsException(
        "argument '" + name + "' is '" + value + "'; it has to be " + expected);
  }
}
