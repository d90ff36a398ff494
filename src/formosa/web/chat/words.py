"""What the chat page says in English and in Chinese."""

from __future__ import annotations

# What its template says.
WORDS = {
    "This page needs JavaScript. In the terminal: formosa chat": (
        "這一頁需要 JavaScript。在終端機可以用：formosa chat"
    ),
    "Settings and tools": "設定與工具",
    "Models, side by side": "模型（可並排比較）",
    "Tools": "工具",
    "None is registered. Start the server with --tools FILE.py or --mcp SERVER to let the model "
    "call some.": "沒有登記工具。啟動伺服器時加上 --tools FILE.py 或 --mcp SERVER，模型就能呼叫。",
    "Which may be called": "可以呼叫哪些",
    "as the model likes": "由模型決定",
    "none": "都不行",
    "at least one must be": "至少要呼叫一個",
    "Several calls in one reply": "一次回覆可以有多個呼叫",
    "Ask me before every call": "每次呼叫前都先問我",
    "System prompt": "系統提示",
    "Sampling": "取樣",
    "Temperature": "溫度",
    "Most tokens": "token 上限",
    "Seed": "亂數種子",
    "Stop texts, one a line": "停止字串，一行一個",
    "Thinking": "思考",
    "as the template says": "依範本預設",
    "on": "開",
    "off": "關",
    "Shape of the reply": "回覆的形式",
    "any text": "任何文字",
    "a JSON object": "JSON 物件",
    "Tokens and probabilities": "token 與機率",
    "Reset the settings": "重設設定",
    "New conversation": "新對話",
    "Load a file": "載入檔案",
    "Message": "訊息",
    "Enter sends, Shift+Enter makes a new line, Esc stops": (
        "Enter 送出，Shift+Enter 換行，Esc 停止"
    ),
    "Send": "送出",
    "Stop": "停止",
    "Ask the same from elsewhere": "從別處問同樣的問題",
    "The conversation up to your last message, with these settings.": (
        "到你最後一則訊息為止的對話，連同目前的設定。"
    ),
    "Copy": "複製",
    "Close": "關閉",
    "The server asks for its API key": "伺服器需要 API 金鑰",
    "API key": "API 金鑰",
    "It stays in this page and is forgotten when you leave it.": (
        "金鑰只留在這一頁，離開後就會忘記。"
    ),
    "Go on": "繼續",
}

# What its scripts say; given to them in the page's language.
SPOKEN = {
    "You": "你",
    "Model": "模型",
    "Edit": "編輯",
    "Delete": "刪除",
    "Retry": "重試",
    "Copy": "複製",
    "Raw text": "原始文字",
    "Code": "程式碼",
    "Save": "儲存",
    "Save as page": "存成網頁",
    "Message": "訊息",
    "Cancel": "取消",
    "Send as a new branch": "送出成新分支",
    "Earlier version": "前一個版本",
    "Later version": "後一個版本",
    "{n} of {all}": "{n} / {all}",
    "Nothing was said yet.": "還沒有任何訊息。",
    "Reasoning · {n} characters": "思考 · {n} 字",
    "Tool call": "工具呼叫",
    "Arguments of {name}": "{name} 的參數",
    "Result": "結果",
    "Result of {name}": "{name} 的結果",
    "answered": "已完成",
    "not answered": "未完成",
    "waits for you": "等你同意",
    "runs": "執行中",
    "waits": "等候中",
    "is written": "撰寫中",
    "no result": "沒有結果",
    "The model asks to run {name} with these arguments. Run it?": (
        "模型想用以上的參數執行 {name}，要執行嗎？"
    ),
    "Run once": "執行這一次",
    "Always run {name}": "一律執行 {name}",
    "Don't run": "不要執行",
    "first token after {time}": "首個 token {time}",
    "{n} tokens/s": "每秒 {n} 個 token",
    "{n} tokens": "{n} 個 token",
    "{time} in all": "共 {time}",
    "cut off at its length limit": "到長度上限被截斷",
    "stopped": "已停止",
    "too many rounds of calls": "呼叫次數太多，已停止",
    "What the model really wrote": "模型實際寫出的文字",
    "The raw text of this reply is not known.": "不知道這則回覆的原始文字。",
    "A call could not be read: {problem}": "有一個呼叫無法解讀：{problem}",
    "Tick “Tokens and probabilities” in the settings and ask again to see each token.": (
        "在設定中勾選「token 與機率」再問一次，就能看到每個 token。"
    ),
    "Prompt": "提示",
    "Prompt · {n} characters": "提示 · {n} 字",
    "Tokens: the paler the ground, the surer the model was of it.": (
        "token：底色愈淡，模型愈有把握。"
    ),
    "Tokens as a table": "以表格看 token",
    "Token": "token",
    "Probability": "機率",
    "Instead": "其他可能",
    "The first {some} of {n} tokens": "{n} 個 token 中的前 {some} 個",
    "asks first": "會先詢問",
    "Schema": "參數格式（schema）",
    "From {source}": "來自 {source}",
    "calls {name}": "呼叫 {name}",
    "only {name}": "只呼叫 {name}",
    "The server can't be reached: {problem}": "無法連到伺服器：{problem}",
    "The stream ended before the reply did.": "回覆還沒結束，連線就斷了。",
    "The server asks for its API key.": "伺服器需要 API 金鑰。",
    "Try again in {n} s.": "請在 {n} 秒後再試。",
    "{name} holds no conversation: {problem}": "{name} 裡沒有可用的對話：{problem}",
    "too large": "檔案太大",
    "not JSON": "不是 JSON",
    "Copied.": "已複製。",
    "Hello": "你好",
}

# What a saved conversation says beside the words of the people in it.
SAVED = {
    "Conversation with {model}": "與 {model} 的對話",
    "Conversation": "對話",
    "System prompt": "系統提示",
    "You": "你",
    "Model": "模型",
    "Reasoning · {n} characters": "思考 · {n} 字",
    "Tool call": "工具呼叫",
    "Result": "結果",
    "no result": "沒有結果",
    "{n} messages": "{n} 則訊息",
    "Tools: {names}": "工具：{names}",
}
