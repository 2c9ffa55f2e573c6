package org.pocketfleet.app;

import android.app.Activity;
import android.content.BroadcastReceiver;
import android.content.Context;
import android.content.Intent;
import com.google.gson.JsonObject;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.transport.NodeKey;
import org.pocketfleet.transport.NodeKeys;

/**
 * Answers {@code am broadcast} from the adb shell, which alone may send to it: the answer is the
 * broadcast's result, so the shell prints it.
 */
public final class ShellReceiver extends BroadcastReceiver {
  static final String CONFIGURE = "org.pocketfleet.CONFIGURE";
  static final String STATUS = "org.pocketfleet.STATUS";
  static final String KEY = "org.pocketfleet.KEY";

  @Override
  public void onReceive(Context context, Intent intent) {
    JsonObject answer = new JsonObject();
    int code = Activity.RESULT_OK;
    try {
      answer(context, intent, answer);
    } catch (PocketfleetException error) {
      code = 1;
      answer.addProperty("problem", Words.of(error));
    }
    if (isOrderedBroadcast()) {
      setResult(code, answer.toString(), null);
    }
  }

  private static void answer(Context context, Intent intent, JsonObject answer)
      throws PocketfleetException {
    String action = String.valueOf(intent.getAction());
    switch (action) {
      case CONFIGURE:
        Settings settings =
            Arguments.apply(context, SettingsStore.load(context), intent.getExtras(), true);
        SettingsStore.save(context, settings);
        RoundJob.schedule(context, settings);
        answer.addProperty("configured", true);
        return;
      case FleetService.STOP:
        SettingsStore.saveWanted(context, false);
        Fleet.get().stop();
        answer.addProperty("stopping", Fleet.get().running());
        return;
      case STATUS:
        status(context, answer);
        return;
      case KEY:
        NodeKey key = DeviceKey.open(context).key();
        answer.addProperty("fingerprint", NodeKeys.fingerprint(key));
        answer.addProperty("ssh", NodeKeys.ssh(key));
        answer.addProperty("pem", new String(key.publicPem(), StandardCharsets.US_ASCII));
        return;
      default:
        answer.addProperty("problem", "unknown action " + action);
    }
  }

  private static void status(Context context, JsonObject answer) {
    Status status = Fleet.get().board().status();
    answer.addProperty("running", Fleet.get().running());
    answer.addProperty("phase", status.phase.name().toLowerCase(Locale.ROOT));
    answer.addProperty("task", status.task);
    answer.addProperty("round", status.round);
    answer.addProperty("step", status.step);
    answer.addProperty("steps", status.steps);
    answer.addProperty("words", status.detail());
    Settings settings = SettingsStore.load(context);
    answer.addProperty("wanted", settings.wanted);
    answer.addProperty("server", settings.server);
    answer.addProperty("results", Places.results(context, settings.results).getPath());
  }
}
